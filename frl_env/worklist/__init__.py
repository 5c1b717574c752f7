"""Monday's list: whom to contact this week, what about, who goes, how long it takes, and why.

Takes a table of member-weeks, any policy that offers gains (`frl_env.capacity.asking`) and a capacity. Knows no
algorithm: the command loads the policy.
"""

from frl_env.worklist.caseload import Caseload, Rule, only_group, read_caseload
from frl_env.worklist.choosing import Choice, choose
from frl_env.worklist.listing import Worklist, make_worklist
from frl_env.worklist.lottery import Lots
from frl_env.worklist.writing import write_worklist

__all__ = [
    "Caseload",
    "Choice",
    "Lots",
    "Rule",
    "Worklist",
    "choose",
    "make_worklist",
    "only_group",
    "read_caseload",
    "write_worklist",
]
