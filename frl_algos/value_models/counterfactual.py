"""What each member's record would have been under another policy: the direct estimate of the nested model.

Everything that was recorded of a member stays, its luck too; only what the actions did is exchanged:

    term_i = return_i + sum_t m_it (phi_it(target) - phi_it(logged)) . w

phi(target) are the terms expected under the target policy at the logged observations. Where there is a response they
are multiplied by the chance of an answer, at the load of attempts that the *target* would have put on the member, and
by the share that the target's earlier attempts have not done already. Observations that only echo the last action
(calls last week) are what the target would have seen. The terms of the members carry the error of w as well (its
influence function), so that their spread is the sampling error of the value. What they can't show is the estimate's
`shared` error: what the prior leaves open of w, what an action may do beside the sum of its levels (w has no pairs of
levels), and what the team may have known beyond the record. An action may do more, or less, where somebody chose it
who knew more than the record. A policy that sees the record alone chooses it without that knowledge, and the logged
weeks can't show what the difference is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int64

from frl_algos.action_effects.terms import Terms, null_position
from frl_algos.logged_data.member_parts import parts
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.policy import Probabilities, ask
from frl_algos.value_models.action_echoes import action_echoes
from frl_algos.value_models.answers import checked_probabilities
from frl_algos.value_models.histories import Histories, as_episodes
from frl_algos.value_models.nested_mean_model import KAPPA, NestedModel
from frl_algos.value_models.response_check import response_doubt
from frl_algos.value_models.responses import attempt_loads, check_answers
from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.errors import UserError, check_generator, check_number, check_whole
from frl_env.evaluation import Estimate, LoggedEpisodes, Thresholds
from frl_env.evaluation.dataset_reading.episodes import check_folds
from frl_env.evaluation.estimating.target import check_target
from frl_env.evaluation.threads import numpy_alone, one_ahead
from frl_env.kinds import check_kind

NAME = "SNM"

FOLDS = 5
"""Of members, unless said otherwise."""

INSIGHT = 0.05
"""Half the prior scale of the effects of a level (`frl_algos.action_effects.terms`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactual:
    """Values target policies on one set of logged members.

    Args:
        model: Fitted on them.
        discount: In [0, 1].
        insight: How much more or less than others an action may do that the team chose because it knew more than the
            record: a prior standard deviation, as a share of the reward expected. No data of the record can tell.
            Without a response, what the team knew is in the effects themselves, as confounding, and this counts not.
    """

    model: NestedModel
    discount: float = 1.0
    insight: float = INSIGHT

    @classmethod
    @numpy_alone()
    def fit(
        cls,
        data: LoggedEpisodes | FactoredReplayBuffer,
        *,
        rng: np.random.Generator,
        response: int | None = None,
        indications: Mapping[str, int] | None = None,
        leading: str | None = None,
        discount: float = 1.0,
        kappa: float = KAPPA,
        folds: int = FOLDS,
        insight: float = INSIGHT,
    ) -> "Counterfactual":
        """Fits the model to logged members, once for all target policies.

        Args:
            data: Members on which no target policy was trained.
            rng: Source of the folds.
            response: Index of the observation whose next value is positive when an action got a response; None
                without one. Actions are then compared given what is observed, which confounding can bias.
            indications: Level name to the index of an observation that indicates it; see `FactoredAWRConfig`.
            leading: Name of the factor whose levels are expected to differ most in effect; None for "modality" where
                there is one. It moves the estimate where the data says little, and makes no interval narrower.
            discount: In [0, 1].
            kappa: What is left of an effect after a step.
            folds: Folds of members.
            insight: As above; 0 where the team is known to have acted on the record alone.

        Raises:
            UserError: If there are too few members or responses, an index or a factor does not exist, or insight is
                out of range.
        """
        for name, share in (("insight", insight), ("kappa", kappa), ("discount", discount)):
            check_number(name, share, low=0.0, high=1.0)
        check_kind("response", response, int | None)
        check_kind("indications", indications, dict | None)
        check_kind("leading", leading, str | None)
        check_kind("folds", folds, int)
        check_generator(rng)
        rows = Histories.of(as_episodes(data))
        check_members(rows, response, folds=folds)
        space = rows.episodes.action_space
        terms = Terms.of_space(space, rows.observations.shape[1], indications=indications)
        model = NestedModel.fit(rows, terms, response=response, leading=leading, kappa=kappa, folds=folds, rng=rng)
        return cls(model=model, discount=discount, insight=insight)

    @property
    def returns(self) -> Float[np.ndarray, "episode"]:
        """What the members got under the behaviour policy."""
        return self.model.rows.episodes.returns(self.discount)

    @cached_property
    def response_doubt(self) -> str | None:
        """Why what is named the response can't be relied on as one, in words; None when it can."""
        return response_doubt(self.model.rows, self.model.terms, self.model.response)

    @numpy_alone()
    def estimate(self, target: Probabilities, rng: np.random.Generator, *, members: int | None = None) -> Estimate:
        """Value of a target policy, as one term a member.

        Args:
            target: The policy.
            rng: Source of the target's draws, which decide its load on each member.
            members: How many, drawn at random, the target is asked about; the others get what these get on average.
                It saves time, and adds little to an error that stems from the effects. None for all.

        Raises:
            UserError: If the probabilities have the wrong shape or don't sum to 1, or `members` is out of range.
        """
        check_target(target)
        check_generator(rng)
        model, n = self.model, len(self.model.fold)
        asked = np.arange(n)
        if members is not None:
            check_whole("members", members, low=1, high=n)
            asked = np.sort(rng.permutation(n)[:members])
        found, exposure, outside = self._change(target, asked, rng)
        total = found.mean(axis=0)
        change = np.tile(total, (n, 1))
        change[asked] = found
        # The value is a mean over members, and a score counts one of them once more.
        influence = n * (model.scores @ total)
        own = np.einsum("nc,nc->n", change, model.weights[model.fold])
        unasked = float(own[asked].var()) * (1 / len(asked) - 1 / n)
        insight = self.insight if model.responses is not None else 0.0
        prior = float(total @ model.prior @ total) + model.beside_levels(exposure, total)
        prior += (insight * self._logged) ** 2
        return Estimate(
            name=NAME,
            plain=self.returns + own + influence - influence.mean(),
            shared=float(np.sqrt(max(prior + unasked, 0.0))),  # rounding may leave a hair below 0
            outside=outside,
        )

    @cached_property
    def fewest_attempts(self) -> Float[np.ndarray, "step"]:
        """The `support_members`-th smallest number of earlier attempts (faded), by step; 0 where members are fewer.

        A policy with fewer attempts than this has too few logged members like it.

        Enough are as many as an action needs to count as supported.
        """
        rows, responses, enough = self.model.rows, self.model.responses, Thresholds().support_members
        assert responses is not None
        attempts = np.empty(len(rows.actions))
        for part, _ in parts(rows.episodes.lengths, 4):
            attempts[part] = attempt_loads(rows.attempted[part][:, None], rows, part, responses.fading)[:, 0]
        fewest = np.zeros(rows.episodes.steps)
        for t in range(rows.episodes.steps):
            own = attempts[rows.step == t]
            if len(own) >= enough:
                fewest[t] = np.partition(own, enough - 1)[enough - 1]
        return fewest

    def support_doubt(self, estimate: Estimate) -> str | None:
        """Why an estimate of this model is no headline, in words; None when the members have shown what it needs.

        Who is contacted less than anybody of the record is another member than those: its needs are still open, as
        hardly anyone's there are, and a contact that meets one does more than its levels did on record. Who is
        contacted more is less of a leap: how attempts tire a member is in the model.

        Args:
            estimate: Of `estimate`.
        """
        most, enough = Thresholds().unsupported, Thresholds().support_members
        if estimate.outside <= most:
            return None
        return (
            f"in {estimate.outside:.1%} of the weeks the target would have left members alone longer than the record "
            f"shows of {enough} members (at most {most:.1%})"
        )

    @cached_property
    def _logged(self) -> float:
        """What an effect of 1 of every logged action would be worth to a member."""
        rows, overall = self.model.rows, self.model.terms.fixed[:, 0]
        worth = self.discount**rows.step * self.model.amount * overall[rows.actions] * self.model.foreseen
        return float(worth.sum()) / len(self.model.fold)

    def _change(
        self, target: Probabilities, asked: Int64[np.ndarray, "member"], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "member column"], Float[np.ndarray, "valid"], float]:
        """Sum over the steps of m (phi(target) - phi(logged)): by member asked, and by action as the members' mean.

        Last the share of steps beyond the record.

        Step by step, because the target's load on a member depends on what it did before.
        """
        model, rows = self.model, self.model.rows
        space, responses = rows.episodes.action_space, self.model.responses
        null, valid = null_position(space), np.asarray(space.valid_joints)
        echoes = action_echoes(rows, self.model.terms.levels, besides=model.response)
        changed = np.asarray([*echoes, *([] if model.response is None else [model.response])], dtype=np.int64)
        places = rows.rows[asked]
        # Load: attempts of late, which make an answer less likely. Cover: what earlier effects still do.
        load, cover = np.zeros(len(asked)), np.zeros(len(asked), dtype=np.float32)
        strength = model.strength.astype(np.float32)
        shown = rows.observations[places[:, 0]]
        total = np.zeros((len(asked), len(model.terms.groups)))
        exposure = np.zeros(len(valid))
        attempts, outside = np.zeros(len(asked)), 0

        def asked_of(followed: np.ndarray, t: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            """Some members at a time, their rows and the target's probabilities; no member is among two of them."""
            for start in range(0, len(followed), DECISIONS_AT_ONCE):
                who = followed[start : start + DECISIONS_AT_ONCE]
                at = places[who, t]
                observations = rows.observations[at]
                observations[:, changed] = shown[np.ix_(who, changed)]
                yield who, at, ask(target, observations)

        for t in range(rows.episodes.steps):
            followed = np.flatnonzero(places[:, t] >= 0)
            if responses is not None:
                outside += int((attempts[followed] < self.fewest_attempts[t] - 1).sum())
            for who, at, answer in one_ahead(asked_of(followed, t)):
                chances = checked_probabilities(answer, len(who), space.n_joint).take(valid, axis=1, mode="clip")
                uniform = rng.random((3, len(who)), dtype=np.float32)
                drawn = _draw(chances, uniform[0], null)
                if responses is not None:
                    assert null is not None
                    assert model.response is not None
                    answers = responses.chances(load[who], at, null)
                    chances = chances * answers
                    room = 1 - cover[who]
                    cover[who] = model.kappa * (cover[who] + room * (chances @ strength))
                    chances *= room[:, None]
                    answered = uniform[1] < answers[np.arange(len(who)), drawn]
                    shown[who, model.response] = answered * 1.0 + (uniform[2] < responses.chance_unprompted[at])
                    load[who] = responses.fading * (load[who] + responses.slopes[drawn])
                    attempts[who] = responses.fading * (attempts[who] + (drawn != null))
                for observation, values in echoes.items():
                    shown[who, observation] = values[drawn]
                signs = model.signs(at)
                terms = model.terms.expected(signs, signs, chances)
                # m_t, what an effect of 1 changes in the return; times the target's effects less those on record.
                worth = self.discount**t * model.amount[at]
                total[who] += (terms - model.expected(at)) * worth[:, None]
                exposure += worth @ chances
                np.subtract.at(exposure, rows.actions[at], worth * model.foreseen[at])
        return total, exposure / len(asked), outside / max(int((places >= 0).sum()), 1)


def check_members(rows: Histories, response: int | None, *, folds: int = FOLDS) -> None:
    """Says before anything is fitted that the model can't be, to these members.

    Args:
        rows: Their logged decisions.
        response: As in `Counterfactual.fit`.
        folds: Of members.

    Raises:
        UserError: If there are fewer members than folds, or a response is named and no action does nothing, or too few
            attempts got one.
    """
    check_folds(len(rows.episodes), folds)
    space = rows.episodes.action_space
    if response is None:
        return
    if null_position(space) is None:
        raise UserError(
            f"a response needs an action that does nothing, and {space} has none; name the factors that are null "
            "without a contact in contact_factors of the actions, or set response to None"
        )
    check_answers(rows, response)


def _draw(chances: np.ndarray, uniform: np.ndarray, null: int | None) -> np.ndarray:
    """Position of one action a row; only rows in which something is done need more than one comparison."""
    drawn = np.full(len(chances), -1 if null is None else null)
    idle = np.zeros(len(chances)) if null is None else chances[:, null]
    acts = np.flatnonzero(uniform >= idle)
    doing = chances[acts]
    if null is not None:
        doing[:, null] = 0.0
    cumulative = np.cumsum(doing, axis=1)
    # Above the chance of doing nothing the rest of the draw is uniform again.
    level = (uniform[acts] - idle[acts]) / np.maximum(1 - idle[acts], 1e-12)
    drawn[acts] = (cumulative[:, :-1] <= level[:, None] * cumulative[:, -1:]).sum(axis=1)
    return drawn
