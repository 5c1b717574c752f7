"""What care programs do already, as policies to be compared with: visits to the top of a list.

A peer scores members and visits those with the highest scores; it knows nothing of which action suits whom. Peers offer
gains (`frl_env.capacity.asking`), so that they keep within a budget like every other policy, and have no opinion of
how often to act: without a budget they visit everybody who does not rest.
"""

from frl_algos.member_rankings.ranking import RiskRanking, SpendingRanking
from frl_algos.member_rankings.uplift import UpliftRanking
from frl_algos.member_rankings.visits import VISITS, LoggedVisits, Visits

__all__ = ["VISITS", "LoggedVisits", "RiskRanking", "SpendingRanking", "UpliftRanking", "Visits"]
