"""Whether an observation that is named as the response to an action behaves like one.

The nested model learns from whether an attempt was answered as from a coin. That holds for an observation that

1. shows after attempts, and hardly without: at least `OWED` of what shows after attempts would not have shown
   without one (an observation that actions don't change, or one that only the ill have, fails);
2. shows after some attempts and not after others, for at least `PEOPLE` people of each kind in each half of the people;
3. is not the action under another name: of the variance among attempts at least `CHANCE` is within a joint action;
4. is not the outcome under another name: among attempts it explains at most `ECHO` of the variance of the reward of
   the same step (a contact changes a reward by hundredths; an ED visit last week is the reward);
5. is all that an attempt does: attempts that were not answered differ from no attempt, given the history, in at most
   `DIRECT` of the variance of the reward of the same step. An action that acts without being answered fails.

`OWED` is a majority. `CHANCE` leaves a twentieth, far less than people have to do with who answers. `PEOPLE` is half of
the members that a headline asks for, for each half. `DIRECT` is a tenth of a standard deviation, half of what is called
a small effect, so that what confounding by indication leaves does not fail.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int64

from frl_algos.action_effects.targets import ridge_weights
from frl_algos.action_effects.terms import Terms, null_position
from frl_algos.value_models.histories import Histories

OWED = 0.5
PEOPLE = 50
CHANCE = 0.05
ECHO = 0.1
DIRECT = 0.01
"""Limits of the five rules; the head of this file says why."""

IDLE = 100
"""Decisions without an attempt, at least, to see what shows without one."""


def response_doubt(rows: Histories, terms: Terms, response: int | None) -> str | None:
    """Why an observation can't be used as a response, in words, of the first that holds; None when it can.

    Args:
        rows: The logged decisions.
        terms: Columns of the actions.
        response: Index of the observation whose next value is positive when an action got a response; None without.
    """
    if response is None:
        return "no observation shows whether an attempt was answered"
    if null_position(rows.episodes.action_space) is None:
        return "every action does something, so nothing shows what comes without an attempt"
    known, shown = ~rows.unfollowed, rows.next_values(response) > 0
    attempts, idle = known & rows.attempted, known & ~rows.attempted
    if idle.sum() < IDLE or not attempts.any():
        return (
            "too few decisions without an attempt, or with one, to see whether what is named a response is owed to it"
        )
    with_attempt, without = float(shown[attempts].mean()), float(shown[idle].mean())
    if without > (1 - OWED) * with_attempt:
        return (
            f"what is named a response shows after {without:.1%} of the decisions without an attempt and after "
            f"{with_attempt:.1%} of the attempts"
        )
    for half in (0, 1):
        own = attempts & (rows.member % 2 == half)
        if min(len(np.unique(rows.member[own & kind])) for kind in (shown, ~shown)) < PEOPLE:
            return f"fewer than {PEOPLE} people have an answered, or an unanswered, attempt in one half of the people"
    if _by_chance(rows.actions[attempts], shown[attempts]) < CHANCE:
        return "what is named a response is settled by the action: it shows what was done, not an answer"
    reward = rows.episodes.rewards[rows.episodes.mask]

    def answered(part: slice) -> np.ndarray:
        return shown[part, None].astype(float)

    def levels(part: slice) -> np.ndarray:
        acts = rows.attempted[part, None]
        return np.concatenate([acts, terms.levels[rows.actions[part]] * acts], axis=1, dtype=float)

    if (echo := _explained(rows, answered, reward, attempts)) > ECHO:
        return f"what is named a response explains {echo:.0%} of the reward of its own step: it is the outcome"
    quiet = known & ~(attempts & shown)
    if (direct := _explained(rows, levels, reward, quiet)) > DIRECT:
        return f"attempts that were not answered explain {direct:.0%} of the reward: answers are not how actions act"
    return None


def _by_chance(actions: Int64[np.ndarray, "row"], shown: Bool[np.ndarray, "row"]) -> float:
    """Share of the variance of a response that is within a joint action."""
    number = np.bincount(actions)
    own = np.bincount(actions, weights=shown)
    within = own - own**2 / np.maximum(number, 1)
    return float(within.sum() / (len(shown) * shown.mean() * (1 - shown.mean())))


def _explained(
    rows: Histories,
    columns: Callable[[slice], Float[np.ndarray, "some_rows column"]],
    reward: Float[np.ndarray, "row"],
    used: Bool[np.ndarray, "row"],
) -> float:
    """Share of the variance, which the history leaves of the reward, that columns explain; less what chance does."""
    h = rows.features
    width = columns(slice(0, 1)).shape[1]
    # Sums of products of history, columns and reward, from which all that is asked follows.
    sums = np.zeros((h + width + 1, h + width + 1))
    for part, history in rows.parts(2 * width):
        own = used[part]
        x = np.column_stack([history, columns(part), reward[part]])[own]
        sums += x.T @ x
    # What is left of columns and reward is linear in all of them.
    left = np.concatenate([-ridge_weights(sums[:h, :h], sums[:h, h:]), np.eye(width + 1)])
    rest = left.T @ sums @ left
    total = float(rest[-1, -1])
    if total <= 0:
        return 0.0
    weights = np.linalg.lstsq(rest[:-1, :-1], rest[:-1, -1], rcond=1e-9)[0]
    ends = np.append(-weights, 1.0)
    explained = 1 - float(ends @ rest @ ends) / total
    return max(0.0, explained - width / int(used.sum()))
