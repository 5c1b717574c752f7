"""What a contact would prevent, computed with full information: the gains of the oracle under a budget.

It sees open needs, hazards, reach and fatigue, and knows the world's parameters. The gain of a contact is the chance
that it reaches the member, times the events that it is then expected to prevent until the end of the year:

- *support*: the member's hazards, times what the contact adds to support, for as long as that lasts;
- *resolution*: the chance that it closes its need, times the fall in hazards, until the need would open again;
- *transition*: a fifth of four weeks' events after an urgent contact in the week after a discharge.

It does not know that a contact today tires the member for tomorrow, but rests a tired member, as `Oracle` does.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, Parameters
from frl_env.rollout import HORIZON
from frl_env.simulator.parameter_tables import CARE, array_rules, goal_scope
from frl_env.simulator.population import NEED_BITS, Members, need_hazard_ratios
from frl_env.simulator.state import State

_GOALS = np.asarray([*(MEDICAID_ACTIONS["goal"].levels.index(name) for name in NEED_NAMES), CARE])
_N_MODALITIES = len(MEDICAID_ACTIONS["modality"])


@dataclass(frozen=True)
class OracleGains:
    """A policy with gains that sees the simulator.

    Args:
        parameters: The world it acts in.
        horizon: Weeks of an episode.
    """

    parameters: Parameters
    horizon: int = HORIZON

    @property
    def joints(self) -> Int64[np.ndarray, "action"]:
        """Joint indices of the contacts that it chooses among, ascending: each goal by whom it suits best."""
        return self._contacts()[0]

    def gains_at(self, members: Members, state: State) -> Float64[np.ndarray, "member action"]:
        """Expected events that each contact prevents."""
        hazards, effects, outreach = self.parameters.hazards, self.parameters.effects, self.parameters.outreach
        rules = array_rules(self.parameters)
        ratios = need_hazard_ratios(hazards.need_cap)
        now = ratios[state.needs]
        left = np.maximum(self.horizon - state.week, 1).astype(np.float64)
        # Illness fades toward its mean: half of the log of it, on average over the weeks that count.
        illness = np.exp(0.5 * state.acuity)
        support_ed, support_ip = (np.exp(log * state.support) for log in (rules.log_support_ed, rules.log_support_ip))
        ed_rate = members.ed_base * illness * now[:, 0] * support_ed
        ip_rate = members.ip_base * illness * now[:, 1] * support_ip
        readmission = rules.readmission[state.since_ip] * now[:, 1]
        # Weeks that support given now is worth: each week keeps a share of it (a geometric sum).
        lasting = (1 - rules.support_kept**left) / (1 - rules.support_kept)

        scope = goal_scope(self.parameters)[_GOALS].max(axis=1)
        is_open = (state.needs[:, None] & NEED_BITS) > 0
        window = state.since_ip <= effects.transition_weeks
        # A contact matches if its need is open; a CARE contact, if a discharge was a few weeks ago.
        fits = np.concatenate((is_open, window[:, None]), axis=1)
        fall = np.zeros((len(members), len(_GOALS)))
        for number, (need, bit) in enumerate(zip(NEEDS, NEED_BITS, strict=True)):
            # Events a week fewer without this need, times the weeks until it would open again on average.
            lower = now - ratios[state.needs & ~bit]
            # A closed need opens at the rate at which the share of open ones stays the same.
            onset = hazards.need_turnover / (1 - need.open_share)
            weeks = (1 - (1 - onset) ** left) / onset
            per_week = (
                members.ed_base * support_ed * lower[:, 0] + members.ip_base * support_ip * lower[:, 1]
            ) * illness
            fall[:, number] = weeks * per_week

        modality = np.arange(1, _N_MODALITIES)
        gained = np.asarray(effects.engagement)[modality]
        resolve = np.asarray(rules.resolve)[modality]
        share = np.where(fits, 1.0, effects.unmatched)[:, None, :] * gained[None, :, None]
        # What the contact adds to the support that would be left without it.
        more = np.maximum(share - (rules.support_kept * state.support)[:, None, None], 0.0)
        relief_ed = -np.expm1(rules.log_support_ed * more)
        relief_ip = -np.expm1(rules.log_support_ip * more)
        spared = (relief_ed * ed_rate[:, None, None] + relief_ip * ip_rate[:, None, None]) * lasting[:, None, None]
        able = np.concatenate((is_open * scope[:-1], np.zeros((len(members), 1))), axis=1)  # CARE closes no need
        solved = resolve[None, :, None] * (able * fall)[:, None, :]
        timely = (state.since_ip == 1)[:, None] * -np.expm1(rules.log_transition)
        spared_after = timely * effects.transition_weeks * (ed_rate + ip_rate + readmission)[:, None]
        routine = spared + solved
        urgent = routine[:, :, -1] + spared_after
        chance = members.reach[:, modality] * np.exp(-outreach.fatigue_reach * state.fatigue)[:, None]
        table = np.concatenate(
            ((chance[:, :, None] * routine).reshape(len(members), -1), np.where(timely > 0, chance * urgent, -np.inf)),
            axis=1,
        )
        # As `Oracle` does: beyond this fatigue a rest gives more completed contacts, unless a discharge can't wait.
        rests = (state.fatigue > 1 / outreach.fatigue_reach) & ~(timely[:, 0] > 0)
        table[rests] = -np.inf
        return table[:, self._contacts()[1]]

    def _contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint indices in ascending order, and where each stands in the table."""
        provider = goal_scope(self.parameters)[_GOALS].argmax(axis=1)
        levels = [
            (modality, provider[k], goal, 0) for modality in range(1, _N_MODALITIES) for k, goal in enumerate(_GOALS)
        ]
        levels += [(modality, provider[-1], CARE, 1) for modality in range(1, _N_MODALITIES)]
        joints = MEDICAID_ACTIONS.ravel(np.asarray(levels, dtype=np.int64))
        order = np.argsort(joints)
        return joints[order], order
