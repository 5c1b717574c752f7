"""Who was just below the line: members whom the next minutes would go to.

At the week's prices of every limit (`frl_env.capacity.Allocation`), a contact is worth its cost where

    gain / (price of each limit x what it takes of it)  >=  1

and below the line where it is less. With one limit the order is that of gain a minute. A contact that costs nothing at
these prices and was not made did not fit, as in a week without staff: it comes first, and among such the gain by what
it takes of the limits decides.
"""

import numpy as np
from jaxtyping import Int64

from frl_env.capacity.offers import Offers

FREE = 1e-9
"""Price of what has none, beside the dearest contact: only to put contacts in order."""


def below_line(
    offers: Offers,
    prices: np.ndarray,
    left: Int64[np.ndarray, "member"],
    most: int,
) -> tuple[Int64[np.ndarray, "below"], Int64[np.ndarray, "below"], int]:
    """Who comes next.

    Args:
        offers: Each member's best contact of every kind.
        prices: Of each limit.
        left: Rows of members who got nothing, and were not drawn to get nothing.
        most: Members to name.

    Returns:
        Rows of the members, the nearest to the line first; joint indices of their contacts; how many there are in all.
    """
    takes = offers.use.sum(axis=0)
    cost = prices @ offers.use if len(prices) else takes
    cost = np.where(cost > 0, cost, FREE * (float(cost.max(initial=0.0)) or 1.0) * takes)
    ratio = np.divide(offers.gains[left], cost, out=np.full((len(left), len(cost)), -np.inf), where=cost > 0)
    best = ratio.argmax(axis=1)
    top = ratio[np.arange(len(left)), best]
    order = np.argsort(-top, kind="stable")
    order = order[top[order] > 0]
    first = order[:most]
    return left[first], offers.joints[left[first], best[first]], len(order)
