"""Several limits at once: a price for each, and rounding.

With a price on every unit of every limit, members no longer compete: each takes the contact whose gain less its price
is largest. The sum of these, plus the value of all room at its price, is the dual of the linear program: for any
prices it bounds every allocation from above, and the prices that make it smallest use what there is. They are found
by L-BFGS on the dual with the maximum over contacts smoothed (by a temperature that is lowered step by step), because
the dual itself has kinks.

At the final prices a few members are all but indifferent between contacts. So members choose in the order of how much
is at stake for them, and as soon as a kind no longer fits, it is closed for all who come later. Limits are kept by
construction.

Source: Lagrange relaxation (Fisher 1981); smoothing of the dual by the logarithm of a sum of exponentials (Nesterov
2005); prices for several budgets in weakly coupled decision processes (Hawkins 2003; Adelman & Mersereau 2008).
"""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import minimize

from frl_env.capacity.knapsack import NOTHING, ROUNDING, Choice
from frl_env.capacity.offers import Offers

SAMPLE = 5_000
"""Members on whom prices are found before all are asked."""

TEMPERATURES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Of the smoothing, in units of a typical gain; the last two are used on all members."""


def allocate_at_prices(offers: Offers, room: Float64[np.ndarray, "limit"], rng: np.random.Generator) -> Choice:
    """Allocates several limits.

    Args:
        offers: What members can get.
        room: What there is of each limit.
        rng: For ties between members.
    """
    prices = _find_prices(offers, room, rng)
    bound = dual(offers, room, prices)
    kinds, left = _choose(offers, prices, room, rng)
    _use_up(offers, prices, left, kinds, rng)
    return Choice(kinds=kinds, chances=np.ones(len(offers)), prices=prices, bound=bound)


def dual(offers: Offers, room: Float64[np.ndarray, "limit"], prices: Float64[np.ndarray, "limit"]) -> float:
    """An upper bound on the total gain of any allocation, for any prices that are not negative."""
    reduced = offers.gains - prices @ offers.use
    return float(prices @ room + np.maximum(reduced.max(axis=1), 0.0).sum())


def _find_prices(
    offers: Offers, room: Float64[np.ndarray, "limit"], rng: np.random.Generator
) -> Float64[np.ndarray, "limit"]:
    """Prices at which the dual is smallest, that is, at which about as much is used as there is."""
    best = np.maximum(offers.gains.max(axis=1), 0.0)
    n = len(offers)
    if not best.any():
        return np.zeros(len(room))
    typical = float(best[best > 0].mean())
    unit = np.maximum(offers.use.max(axis=1), 1e-300)
    gains, use = offers.gains / typical, offers.use / unit[:, None]
    scaled = np.zeros(len(room))
    few = np.sort(rng.permutation(n)[:SAMPLE])
    # Smoother problems first, each the start of the next; the last two on all members, the others on a sample.
    for number, temperature in enumerate(TEMPERATURES):
        everyone = number >= len(TEMPERATURES) - 2
        rows, share = (slice(None), 1.0) if everyone or n <= SAMPLE else (few, n / len(few))
        found = minimize(
            _smooth_dual,
            scaled,
            args=(gains[rows], use, room / unit / n, share / n, temperature),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * len(room),
            options={"maxiter": 200, "ftol": 1e-12, "gtol": 1e-8},
        )
        scaled = found.x
    return scaled * typical / unit


def _smooth_dual(
    prices: Float64[np.ndarray, "limit"],
    gains: Float64[np.ndarray, "member kind"],
    use: Float64[np.ndarray, "limit kind"],
    room: Float64[np.ndarray, "limit"],
    weight: float,
    temperature: float,
) -> tuple[float, Float64[np.ndarray, "limit"]]:
    """The smoothed dual a member, and its gradient: room less what is used."""
    # A smooth maximum over contacts and doing nothing (0): temperature x log-sum-exp of gains less their price.
    reduced = (gains - prices @ use) / temperature
    top = np.maximum(reduced.max(axis=1, keepdims=True), 0.0)
    np.subtract(reduced, top, out=reduced)
    np.exp(reduced, out=reduced)
    total = reduced.sum(axis=1) + np.exp(-top[:, 0])
    value = prices @ room + weight * temperature * float((top[:, 0] + np.log(total)).sum())
    used = use @ (reduced.T @ (1.0 / total))
    return value, room - weight * used


def _choose(
    offers: Offers, prices: Float64[np.ndarray, "limit"], room: Float64[np.ndarray, "limit"], rng: np.random.Generator
) -> tuple[Int64[np.ndarray, "member"], Float64[np.ndarray, "limit"]]:
    """Everybody's choice at these prices, those with most at stake first; returns kinds and what is left."""
    reduced = np.concatenate((np.zeros((len(offers), 1)), offers.gains - prices @ offers.use), axis=1)
    use = np.concatenate((np.zeros((len(room), 1)), offers.use), axis=1)
    kinds = np.full(len(offers), NOTHING)
    left = room * (1 + ROUNDING)
    is_open = np.ones(use.shape[1], dtype=bool)
    waiting = np.arange(len(offers))
    lot = rng.random(len(offers))
    while len(waiting):
        is_open[1:] &= (use[:, 1:] <= left[:, None]).all(axis=0)
        table = np.where(is_open, reduced[waiting], -np.inf)
        choice = table.argmax(axis=1)
        second = np.partition(table, -2, axis=1)[:, -2] if table.shape[1] > 1 else table[:, 0]
        stake = table[np.arange(len(waiting)), choice] - second
        order = np.lexsort((lot[waiting], -stake))
        fits = fits_in_order(use[:, choice[order]], left)
        done = order[:fits]
        kinds[waiting[done]] = choice[done] - 1
        left = left - use[:, choice[done]].sum(axis=1)
        waiting = np.delete(waiting, done)
        if fits == 0 and len(waiting):  # what the next one wants no longer fits: it closes at the top of the loop
            continue
    return kinds, left


def fits_in_order(use: Float64[np.ndarray, "limit item"], room: Float64[np.ndarray, "limit"]) -> int:
    """How many items fit one after the other, until the first that does not."""
    over = (np.cumsum(use, axis=1) > room[:, None]).any(axis=0)
    return int(over.argmax()) if over.any() else use.shape[1]


def _use_up(
    offers: Offers,
    prices: Float64[np.ndarray, "limit"],
    left: Float64[np.ndarray, "limit"],
    kinds: Int64[np.ndarray, "member"],
    rng: np.random.Generator,
) -> None:
    """Gives what is left to members without a contact who gain from one, the nearest to their price first."""
    idle = np.flatnonzero(kinds == NOTHING)
    lot = rng.random(len(offers))
    while len(idle):
        fits = (offers.use <= left[:, None]).all(axis=0)
        table = np.where(fits & (offers.gains[idle] > 0), offers.gains[idle] - prices @ offers.use, -np.inf)
        choice = table.argmax(axis=1)
        value = table[np.arange(len(idle)), choice]
        able = np.isfinite(value)
        idle, choice, value = idle[able], choice[able], value[able]
        if not len(idle):
            return
        order = np.lexsort((lot[idle], -value))
        done = order[: fits_in_order(offers.use[:, choice[order]], left)]
        kinds[idle[done]] = choice[done]
        left = left - offers.use[:, choice[done]].sum(axis=1)
        idle = np.delete(idle, done)
