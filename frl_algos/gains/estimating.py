"""Fills the model of a member from logged data, in closed form, a part of the episodes at a time.

1. **Forecast.** A Poisson regression of the credit-weighted events ahead, over the weeks that are left, on the
   features of `memory`. Observations that contacts write themselves (calls made, encounters had) are left out: they
   say how much a member was contacted, which another policy changes. Cross-fitted by half of the members. Its
   logarithm is then bent as the other half's events ask for (`bent`): linear terms alone say too much of those who
   are well and too little of those who are ill.
2. **Answers.** A logistic regression among attempts, on the leading factor (the modality), recent contacts and the
   share answered so far. How fast contacts are forgotten is the fading with the largest likelihood.
3. **Shares.** Among attempts, those that got no answer are the control group (`frl_algos.effects.estimate`):

       events - m  =  m (answer - P(answer)) dose(a) phi(a) . w  +  nuisance  +  noise,
       dose        =  minutes / mean minutes

   Effects are thus estimated *a minute*: without evidence, a contact does as much as the time it takes. A budget is
   spent by gain a minute, and with effects of equal prior a text message of two minutes would win by noise alone. The
   coefficients w are shrunk group by group (`shrunk_regression`), then weighed by whom an action suits
   (`frl_algos.effects.suitability`).

Forecast and answers are fitted on at most `MOST_EPISODES` members, drawn by the buffer's seed; the shares on all, in
parts of `PART` episodes, so that memory does not grow with the data. How much the rows of one person go together is
counted over all episodes of the person, whatever parts they are in.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frl_algos.effects.suitability import column, suitability
from frl_algos.effects.terms import CAUTIOUS_SCALES, Terms, null_position
from frl_algos.gains.log_linear import fit_logistic, fit_poisson, log_likelihood
from frl_algos.gains.member_model import MemberModel, bends, bent
from frl_algos.gains.memory import FADINGS, MemoryLayout
from frl_algos.gains.shrunk_regression import variational_posterior
from frl_algos.logged.memory_map import release
from frl_algos.logged.replay import FactoredReplayBuffer
from frl_algos.logged.scaled_rows import mean_and_spread, numbers_of, slices
from frl_algos.logged.signed_logarithm import squash

MOST_EPISODES = 10_000
PART = 2_000
MOST_ROWS = 2**17
"""Rows whose features are standardised at once."""

WRITTEN = 0.05
"""Observations of whose next value contacts explain at least this share are written by contacts."""

KNOTS = (0.5, 0.9)
"""Quantiles of the forecast's logarithm at which it may bend."""

OVERLAP_COLUMNS = 40
"""First columns on which the correlation of a member's rows is measured."""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Logged weeks of some members, one row a week.

    Attributes:
        features: Of the forecast.
        contacts: Of the answers; see `MemoryLayout.contacts`.
        events: Credit-weighted events ahead, not negative.
        weeks: Credit-weighted weeks ahead in which they could happen.
        actions: Position of the logged action among the valid ones.
        attempted: Whether it does anything.
        answered: Whether the next observation shows an answer.
        signs: Raw observations.
        members: Person of each row; several spells of one person are one person's.
    """

    features: Float[np.ndarray, "row feature"]
    contacts: Float[np.ndarray, "row 6"]
    events: Float[np.ndarray, "row"]
    weeks: Float[np.ndarray, "row"]
    actions: Int[np.ndarray, "row"]
    attempted: np.ndarray
    answered: np.ndarray
    signs: np.ndarray
    members: Int[np.ndarray, "row"]


def estimate_member_model(
    model: MemberModel,
    buffer: FactoredReplayBuffer,
    *,
    decay: float,
    minutes: Float[np.ndarray, "valid"],
    indications: dict[str, int],
    need: str | None,
    skill: str | None,
) -> None:
    """Fills a model in place.

    Args:
        model: To be filled; its layout says which observation is the response.
        buffer: The data. Rewards must all be of one sign.
        decay: Credit a step.
        minutes: Staff minutes of each valid action.
        indications: Level name to the observation that indicates it.
        need: Factor whose levels answer to needs; None for none.
        skill: Factor whose levels differ in what they are able to do; None for none.
    """
    source = _Source(model.layout, buffer, decay)
    rng = np.random.default_rng(buffer.seed)
    drawn = np.sort(rng.permutation(len(buffer.lengths))[:MOST_EPISODES])
    sample = source.rows(drawn)
    center, scale = mean_and_spread(len(sample.features), sample.features.__getitem__, np.float64)
    scale = np.where(scale < 1e-4, 1.0, scale)
    rate = float(sample.events.sum() / sample.weeks.sum())
    model.take(
        usual=source.usual, chosen=source.chosen, center=center, scale=scale, window=1 / (1 - decay), decay=decay,
        unit=rate, nothing=null_position(buffer.action_space), low=buffer.observations.min(axis=0),
        high=buffer.observations.max(axis=0),
    )  # fmt: skip
    weights = _forecasts(sample, center, scale)
    bend = _bend(sample, center, scale, weights)
    model.take(forecast=weights[2], knots=bend[0], bend=bend[1])
    levels = buffer.action_space.joint_levels[buffer.action_space.valid_joints]
    lead = levels[:, 0]
    answers = _Answers.fit(sample, lead)
    del sample
    terms = Terms.of_space(
        buffer.action_space, buffer.observations.shape[1], indications=indications, scales=CAUTIOUS_SCALES
    )
    model.take(answer=answers.weights[:3], fading=answers.fading, answer_levels=answers.weights[3:], lead=lead)
    if need is not None:
        model.take(need=levels[:, column(buffer.action_space, need)])
    acted = numbers_of(buffer.actions != source.null)
    positions = source.position[buffer.actions[acted]]
    dose = minutes / max(float(minutes[positions].mean()), 1e-12)
    people = buffer.people[np.searchsorted(buffer.starts, acted, side="right") - 1]
    suited = suitability(buffer.action_space, positions, people, need=need, skill=skill)
    source.release()
    shares = _Shares(
        terms, dose, signs_of=(np.asarray(model.low), np.asarray(model.high)), sign=source.sign,
        divided=_in_several(buffer.people, PART),
    )  # fmt: skip
    for start in range(0, len(buffer.lengths), PART):
        part = source.rows(np.arange(start, min(start + PART, len(buffer.lengths))))
        weekly = np.exp(bent(_held_out(part, center, scale, weights), *bend))
        shares.add(part, weekly * part.weeks, answers.chance(part, lead))
    base, indicated, error = shares.solve(terms.told_apart(suited.told))
    gains = base > 0
    model.take(
        share=np.where(gains, base * suited.needs * suited.skills, base),
        share_error=error * np.where(gains, suited.needs * suited.skills, 1.0),
        similar=shares.similar(buffer.action_space, need),
    )
    if model.indicated:
        model.take(indicated_share=np.where(indicated > 0, indicated * suited.skills, indicated))


def _in_several(people: Int[np.ndarray, "episode"], size: int) -> Int[np.ndarray, "person"]:
    """People whose episodes are in more than one part of so many consecutive episodes."""
    persons, first = np.unique(people, return_index=True)
    last = len(people) - 1 - np.unique(people[::-1], return_index=True)[1]
    return persons[first // size != last // size]


class _Source:
    """Rows of a buffer, made part by part by walking through the weeks of some members at once."""

    def __init__(self, layout: MemoryLayout, buffer: FactoredReplayBuffer, decay: float) -> None:
        self.layout, self.buffer, self.decay = layout, buffer, decay
        space = buffer.action_space
        self.position = np.full(space.n_joint, -1, dtype=np.int64)
        self.position[space.valid_joints] = np.arange(len(space.valid_joints))
        self.null = int(space.ravel(space.null_action))
        self.sign = -1.0 if float(buffer.rewards.sum()) < 0 else 1.0
        some = np.arange(min(len(buffer.actions), 500_000))
        following = squash(buffer.next_observations[some])
        levels = np.unique(space.unravel(buffer.actions[some])[:, 0], return_inverse=True)[1]
        self.chosen = _explained(following, levels) < WRITTEN
        if not self.chosen.any():
            self.chosen[:] = True
        lowest = buffer.observations.min(axis=0)
        mean = squash(buffer.observations[some]).mean(axis=0, dtype=np.float64)
        self.usual = np.where((lowest >= 0) & (mean > 1e-6), mean, 0.0)
        self.release()

    def release(self) -> None:
        """Keeps no pages of memory-mapped data."""
        buffer = self.buffer
        release(buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards)

    def rows(self, episodes: Int[np.ndarray, "episode"]) -> _Rows:
        """All weeks of some members."""
        buffer, lengths = self.buffer, self.buffer.lengths[episodes]
        steps = np.arange(int(lengths.max()))
        mask = steps[None] < lengths[:, None]
        at = np.where(mask, buffer.starts[episodes][:, None] + steps[None], 0)
        observations = buffer.observations[at]
        attempted = (buffer.actions[at] != self.null) & mask
        memory = self.layout.start(len(episodes))
        width = self.layout.features(memory[:1], observations[:1, 0], self.usual, self.chosen).shape[1]
        features = np.empty((int(lengths.sum()), width), dtype=np.float32)
        contacts = np.empty((len(features), len(FADINGS) + 3), dtype=np.float32)
        first = np.cumsum(lengths) - lengths
        for t in steps:
            here = mask[:, t]
            row = first[here] + t
            features[row] = self.layout.features(memory, observations[:, t], self.usual, self.chosen)[here]
            contacts[row] = self.layout.contacts(memory, observations[:, t])[here]
            # Which need a contact was about makes no feature.
            memory = self.layout.remember(memory, observations[:, t], attempted[:, t].astype(np.int64) - 1)
        # Members drawn from all touch the map's pages everywhere: not those of all arrays at once.
        self.release()
        amounts = np.where(mask, self.sign * buffer.rewards[at], 0.0).astype(np.float64)
        events, weeks = np.zeros(amounts.shape), np.zeros(amounts.shape)
        ahead, left = np.zeros(len(episodes)), np.zeros(len(episodes))
        for t in steps[::-1]:
            ahead = amounts[:, t] + self.decay * ahead
            left = mask[:, t] + self.decay * left
            events[:, t], weeks[:, t] = ahead, left
        rows = at[mask]
        answered = buffer.next_observations[rows, self.layout.response] > 0
        self.release()
        found = _Rows(
            features=features,
            contacts=contacts,
            events=events[mask],
            weeks=weeks[mask],
            actions=self.position[buffer.actions[rows]],
            attempted=attempted[mask],
            answered=answered,
            signs=buffer.observations[rows],
            members=np.repeat(buffer.people[episodes], lengths),
        )
        self.release()
        return found


def _explained(following: np.ndarray, levels: Int[np.ndarray, "row"]) -> Float[np.ndarray, "k"]:
    """Share of the variance of each observation's next value between the levels of the leading factor."""
    count = np.bincount(levels).astype(np.float64)
    total = following.var(axis=0, dtype=np.float64)
    means = np.stack([np.bincount(levels, weights=column) / count for column in following.T.astype(np.float64)])
    between = (count * (means - following.mean(axis=0, dtype=np.float64)[:, None]) ** 2).sum(axis=1) / len(levels)
    return np.where(total > 1e-12, between / np.where(total > 1e-12, total, 1.0), 0.0)


def _forecasts(sample: _Rows, center: np.ndarray, scale: np.ndarray) -> Float[np.ndarray, "3 feature"]:
    """Weights of the forecast from the members of even numbers, of odd ones, and of all."""
    # Credit windows overlap, so that a week counts as a share of one.
    everybody = fit_poisson(_Standardised(sample.features, center, scale), sample.events, sample.weeks)
    found = []
    for half in (0, 1):
        part = np.flatnonzero(sample.members % 2 == half)
        events, weeks = sample.events[part], sample.weeks[part]
        if events.sum() > 0:
            x = _Standardised(sample.features, center, scale, part)
            found.append(fit_poisson(x, events, weeks, start=everybody))
        else:
            found.append(everybody)
    return np.stack([*found, everybody])


class _Standardised:
    """One and the standardised features of some rows, made when they are asked for: a copy of all would be large."""

    def __init__(
        self, features: np.ndarray, center: np.ndarray, scale: np.ndarray, chosen: np.ndarray | None = None
    ) -> None:
        self._features, self._center, self._scale, self._chosen = features, center, scale, chosen
        self.shape = (len(features) if chosen is None else len(chosen), 1 + features.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, some: slice) -> Float[np.ndarray, "some feature"]:
        x = self._features[some if self._chosen is None else self._chosen[some]] - self._center
        x /= self._scale
        np.clip(x, -6, 6, out=x)
        return np.concatenate([np.ones((len(x), 1)), x], axis=1, dtype=np.float32)


def _held_out(
    rows: _Rows, center: np.ndarray, scale: np.ndarray, weights: Float[np.ndarray, "3 feature"]
) -> Float[np.ndarray, "row"]:
    """The forecast's logarithm, of each member by the weights that know nothing of them."""
    found = np.empty(len(rows.features))
    for some in slices(len(found), MOST_ROWS):
        scaled = rows.features[some] - center.astype(np.float32)
        scaled /= scale.astype(np.float32)
        np.clip(scaled, -6, 6, out=scaled)
        by_half = scaled @ weights[:2, 1:].T.astype(np.float32) + weights[:2, 0]
        found[some] = np.where(rows.members[some] % 2 == 0, by_half[:, 1], by_half[:, 0])
    return found


def _bend(
    sample: _Rows, center: np.ndarray, scale: np.ndarray, weights: Float[np.ndarray, "3 feature"]
) -> tuple[Float[np.ndarray, "knot"], Float[np.ndarray, "4"]]:
    """Knots and coefficients of `bent`, by the events of members of whom the forecast knew nothing."""
    score = _held_out(sample, center, scale, weights)
    knots = np.quantile(score, KNOTS)
    if np.ptp(knots) < 1e-6:
        return knots, np.asarray([0.0, 1.0, 0.0, 0.0])
    found = fit_poisson(bends(score, knots), sample.events, sample.weeks, penalty=1.0)
    return knots, found


@dataclass(frozen=True)
class _Answers:
    """Chance of an answer: weights of one, contacts lately, log odds of answers so far, and levels."""

    weights: np.ndarray
    fading: int

    @classmethod
    def fit(cls, sample: _Rows, lead: Int[np.ndarray, "valid"]) -> "_Answers":
        kept = sample.attempted
        target = sample.answered[kept].astype(np.float64)
        best, found = -np.inf, None
        for fading in range(len(FADINGS)):
            x = _answer_features(sample, kept, fading, lead)
            weights = fit_logistic(x, target)
            likelihood = log_likelihood(x, weights, target)
            if likelihood > best:
                best, found = likelihood, cls(weights, fading)
        assert found is not None
        # Being contacted never makes an answer likelier: what says so is that those who answer are contacted.
        found.weights[1] = min(found.weights[1], 0.0)
        return found

    def chance(self, rows: _Rows, lead: Int[np.ndarray, "valid"]) -> Float[np.ndarray, "attempt"]:
        score = _answer_features(rows, rows.attempted, self.fading, lead) @ self.weights
        return 1 / (1 + np.exp(-score))


def _answer_features(rows: _Rows, kept: np.ndarray, fading: int, lead: Int[np.ndarray, "valid"]) -> np.ndarray:
    contacts = rows.contacts[kept]
    levels = np.eye(int(lead.max()) + 1)[lead[rows.actions[kept]]]
    return np.column_stack([np.ones(len(contacts)), contacts[:, fading], contacts[:, len(FADINGS)], levels])


class _Shares:
    """The regression of the shares, from sums over parts of the data; `sign` is that of the rewards.

    Sums of a person who is in several parts, one of `divided`, are kept until all parts are added.
    """

    def __init__(
        self, terms: Terms, dose: np.ndarray, *, signs_of: tuple[np.ndarray, np.ndarray], sign: float,
        divided: Int[np.ndarray, "person"],
    ) -> None:  # fmt: skip
        self.terms, self.dose, self.low, self.high = terms, dose, *signs_of
        self.sign, self.divided = sign, divided
        self.unfinished: dict[int, np.ndarray] = {}
        optional = np.append(terms.optional, False)[terms.groups]
        self.groups = terms.groups[~optional]
        self.fixed = terms.fixed * dose[:, None]
        free = 1 + terms.levels.shape[1]
        total = len(self.groups) + free
        self.squares, self.products = np.zeros((total, total)), np.zeros(total)
        self.error = self.rows = self.scores = self.clustered = 0.0
        self.moments = np.zeros((2, 2)), np.zeros(2)
        self.answered = np.zeros(len(dose), dtype=np.int64)

    def add(self, part: _Rows, expected: np.ndarray, chance: np.ndarray) -> None:
        """Adds the attempts of some members."""
        kept = part.attempted
        actions, m = part.actions[kept], np.maximum(expected[kept], 1e-6)
        answered = part.answered[kept]
        self.answered += np.bincount(actions[answered], minlength=len(self.dose))
        columns = [self.fixed[actions]]
        if self.terms.indicated.any():
            spread = np.where(self.high > self.low, self.high - self.low, 1.0)
            signs = (part.signs[kept] - self.low) / spread
            met = (signs * self.terms.indicated[actions]).sum(axis=1, keepdims=True) * self.dose[actions, None]
            columns += [met, met * self.terms.levels[actions]]
        effect = np.concatenate(columns, axis=1) * (answered - chance)[:, None]
        free = np.concatenate([np.ones((len(m), 1)), self.terms.levels[actions]], axis=1)
        residual = part.events[kept] - m
        # Counts with members' own risks vary as a m + b m^2; both are at least a little.
        deviation = 1 / (m + 0.5 * m**2)
        x = np.concatenate([effect, free], axis=1) * (m * np.sqrt(deviation))[:, None]
        y = residual * np.sqrt(deviation)
        self.squares += x.T @ x
        self.products += x.T @ y
        self.error += float(y @ y)
        self.rows += len(y)
        scores = x[:, :OVERLAP_COLUMNS] * y[:, None]
        persons, own = np.unique(part.members[kept], return_inverse=True)
        sums = np.zeros((len(persons), scores.shape[1]))
        np.add.at(sums, own, scores)
        self.scores += float((scores**2).sum())
        divided = np.isin(persons, self.divided)
        for person, some in zip(persons[divided].tolist(), sums[divided], strict=True):
            self.unfinished[person] = self.unfinished.get(person, 0.0) + some
        self.clustered += float((sums[~divided] ** 2).sum())

    def solve(self, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shares gained by each valid action, what meeting an indication adds by observation, and their errors.

        Fewer of what is lost is a gain, and more of what is earned.
        """
        clustered = self.clustered + sum(float((sums**2).sum()) for sums in self.unfinished.values())
        overlap = max(clustered / max(self.scores, 1e-12), 1.0)
        noise = max(self.error / max(self.rows, 1.0), 1e-12) * overlap
        if self.error <= 1e-9:
            noise = 1.0
        k, terms = len(self.groups), self.terms
        groups = np.concatenate([self.groups, np.full(len(self.products) - k, -1)])
        mean, covariance = variational_posterior(
            self.squares / noise, self.products / noise, groups, terms.scales, known
        )
        base = self.sign * (self.fixed @ mean[: self.fixed.shape[1]])
        own = covariance[: self.fixed.shape[1], : self.fixed.shape[1]]
        error = np.sqrt(np.maximum(((self.fixed @ own) * self.fixed).sum(axis=1), 0.0))
        indicated = np.zeros((len(self.low), len(self.dose)))
        if terms.indicated.any():
            at = self.fixed.shape[1]
            met = (mean[at] + terms.levels @ mean[at + 1 : k]) * self.dose
            indicated = self.sign * (terms.indicated * met[:, None]).T
        return base, indicated, error

    def similar(self, space, need: str | None) -> Int[np.ndarray, "valid"]:  # type: ignore[no-untyped-def]
        """Answered contacts of the same leading level and need."""
        levels = space.joint_levels[space.valid_joints]
        second = 0 if need is None else column(space, need)
        code = levels[:, 0] * max(space.nvec) + levels[:, second]
        return np.bincount(code, weights=self.answered, minlength=int(code.max()) + 1)[code].astype(np.int64)
