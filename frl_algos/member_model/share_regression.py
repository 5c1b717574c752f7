"""Share of the events ahead that an answered contact prevents, by regression among attempts.

Attempts that got no answer are the control group (`frl_algos.action_effects.estimate`):

    events - m  =  m (answer - P(answer)) dose(a) phi(a) . w  +  nuisance  +  noise,
    dose        =  minutes / mean minutes

Effects are thus estimated *a minute*: without evidence, a contact does as much as the time it takes. A budget is spent
by gain a minute, and with effects of equal prior a text message of two minutes would win by noise alone. The
coefficients w are shrunk group by group (`frl_algos.action_effects.shrinkage`). How much the rows of one person go
together is counted over all episodes of the person, whatever parts they are in.
"""

import numpy as np
from jaxtyping import Int

from frl_algos.action_effects.shrinkage import variational_posterior
from frl_algos.action_effects.suitability import column
from frl_algos.action_effects.terms import Terms
from frl_algos.member_model.logged_weeks import LoggedWeeks
from frl_env.evaluation.privacy.suppression import SMALLEST, rough

OVERLAP_COLUMNS = 40
"""First columns on which the correlation of a member's rows is measured."""


class ShareRegression:
    """The regression of the shares, from sums over parts of the data; `sign` is that of the rewards.

    Sums of a person who is in several parts, one of `divided`, are kept until all parts are added.

    Attributes:
        squares, products, error, rows: X'X, X'y and y'y of the weighted rows, and their number.
        scores, clustered: Squared scores, summed by row and by person: how much a person's rows go together.
        unfinished: Sums of scores of each person whose rows are not all added.
        answered, answerers: Answered contacts by action, and which person answered which action, as one number.
    """

    def __init__(
        self, terms: Terms, dose: np.ndarray, *, signs_of: tuple[np.ndarray, np.ndarray], sign: float,
        divided: Int[np.ndarray, "person"],
    ) -> None:  # fmt: skip
        """Nothing added yet."""
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
        self.answered = np.zeros(len(dose), dtype=np.int64)
        self.answerers: list[np.ndarray] = []

    def add(self, part: LoggedWeeks, expected: np.ndarray, chance: np.ndarray) -> None:
        """Adds the attempts of some members."""
        kept = part.attempted
        # m: events expected of the member; effect and noise both grow with it.
        actions, m = part.actions[kept], np.maximum(expected[kept], 1e-6)
        answered = part.answered[kept]
        self.answered += np.bincount(actions[answered], minlength=len(self.dose))
        self.answerers.append(np.unique(part.members[kept][answered] * len(self.dose) + actions[answered]))
        columns = [self.fixed[actions]]
        if self.terms.indicated.any():
            spread = np.where(self.high > self.low, self.high - self.low, 1.0)
            signs = ((part.signs[kept] - self.low) / spread).clip(0, 1)
            met = (signs * self.terms.indicated[actions]).sum(axis=1, keepdims=True) * self.dose[actions, None]
            columns += [met, met * self.terms.levels[actions]]
        effect = np.concatenate(columns, axis=1) * (answered - chance)[:, None]
        free = np.concatenate([np.ones((len(m), 1)), self.terms.levels[actions]], axis=1)
        residual = part.events[kept] - m
        # The inverse of the variance. Counts of members with risks of their own have m + b m^2, here with b = 0.5.
        deviation = 1 / (m + 0.5 * m**2)
        x = np.concatenate([effect, free], axis=1) * (m * np.sqrt(deviation))[:, None]
        y = residual * np.sqrt(deviation)
        self.squares += x.T @ x
        self.products += x.T @ y
        self.error += float(y @ y)
        self.rows += len(y)
        # Scores summed by person, squared, against squared scores: how much the rows of a person go together.
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
        """Shares gained by each valid action, what meeting an indication adds to them, and how well both are known.

        Fewer of what is lost is a gain, and more of what is earned.

        Returns:
            Shares `(valid,)`; what an indication that is met in full adds `(valid,)`; and `(3, valid)`, the variance of
            the share, its covariance with what is added, and the variance of that.
        """
        clustered = self.clustered + sum(float((sums**2).sum()) for sums in self.unfinished.values())
        # Rows of one person go together: sums vary by so much more than if they did not.
        overlap = max(clustered / max(self.scores, 1e-12), 1.0)
        noise = max(self.error / max(self.rows, 1.0), 1e-12) * overlap
        if self.error <= 1e-9:
            noise = 1.0
        k, terms = len(self.groups), self.terms
        groups = np.concatenate([self.groups, np.full(len(self.products) - k, -1)])
        mean, covariance, _ = variational_posterior(
            self.squares / noise, self.products / noise, groups, terms.scales, known
        )
        at = self.fixed.shape[1]
        base, added = self.sign * (self.fixed @ mean[:at]), np.zeros(len(self.dose))
        known_to = np.zeros((3, len(self.dose)))
        known_to[0] = ((self.fixed @ covariance[:at, :at]) * self.fixed).sum(axis=1)
        if terms.indicated.any():
            added = self.sign * ((mean[at] + terms.levels @ mean[at + 1 : k]) * self.dose)
            met = np.concatenate([np.ones((len(added), 1)), terms.levels], axis=1) * self.dose[:, None]
            known_to[1] = ((self.fixed @ covariance[:at, at:k]) * met).sum(axis=1)
            known_to[2] = ((met @ covariance[at:k, at:k]) * met).sum(axis=1)
        return base, added, known_to

    def similar(self, space, need: str | None, *, simulated: bool) -> Int[np.ndarray, "valid"]:  # type: ignore[no-untyped-def]
        """Answered contacts of the same leading level and need.

        Of real people they are told to the nearest 20, and 1 stands for those of fewer than 11 of them.
        """
        levels = space.joint_levels[space.valid_joints]
        second = 0 if need is None else column(space, need)
        code = levels[:, 0] * max(space.nvec) + levels[:, second]
        kinds = int(code.max()) + 1
        contacts = np.bincount(code, weights=self.answered, minlength=kinds).astype(np.int64)
        if not simulated:
            who, action = np.divmod(np.concatenate([np.zeros(0, dtype=np.int64), *self.answerers]), len(self.dose))
            people = np.bincount(np.unique(np.stack([code[action], who]), axis=1)[0], minlength=kinds)
            rounded = np.asarray([rough(each, simulated=False) for each in contacts.tolist()])
            contacts = np.where(people < SMALLEST, np.minimum(contacts, 1), rounded)
        return contacts[code]
