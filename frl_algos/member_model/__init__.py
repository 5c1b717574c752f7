"""What a contact gains with this member, now.

For FactoredAWR, and for whoever spends a budget of staff minutes.

    gain(member, action) = expected events x chance of an answer x share of events that an answered contact prevents
"""

from frl_algos.member_model.estimating import estimate_member_model
from frl_algos.member_model.model import GainParts, MemberModel

__all__ = ["GainParts", "MemberModel", "estimate_member_model"]
