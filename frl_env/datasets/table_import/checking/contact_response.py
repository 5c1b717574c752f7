"""Does the log of contacts say what it must? Two readings of the columns turn gains into losses, and both show.

A contact log must hold every attempt, and the state that shows an answer (`num_encounters_last_week`, or what
`[meaning]` says) must count completed contacts of the care program, not medical visits. Both can be told from how often
the week after a decision shows an encounter:

                                        after an attempt    without one
    as it should be                           28 %               5 %
    a log of reached contacts only            98 %               5 %
    medical visits for encounters             73 %              72 %

In the first case attempts that failed are missing, so contact looks like its own success; in the second an encounter
has nothing to do with the attempt. Shares measured on simulated members; `docs/event_tables.md` has what each costs.
"""

from dataclasses import dataclass

from frl_env.meaning import RESPONSE

FEWEST_WEEKS = 100
"""Weeks of each kind below which nothing is said."""

MOSTLY_ANSWERED = 0.9
"""Share of answered attempts from which a log can't be one of attempts: no program reaches nine of ten."""

COMMON_WITHOUT = 0.2
LEAST_RATIO = 1.5
"""Encounters that are so common without an attempt, and hardly more common with one, are no answers."""


@dataclass(frozen=True, kw_only=True)
class ContactResponse:
    """How often the week after a decision shows an encounter.

    Attributes:
        attempts: Weeks with an attempt whose next week is known.
        answered: Those with an encounter in the week after.
        others: Weeks without an attempt whose next week is known.
        encounters: Those with an encounter in the week after.
        response: State that shows an encounter.
    """

    attempts: int
    answered: int
    others: int
    encounters: int
    response: str = RESPONSE

    @property
    def after_attempt(self) -> float:
        """Share with an encounter after an attempt; NaN without any."""
        return self.answered / self.attempts if self.attempts else float("nan")

    @property
    def without_attempt(self) -> float:
        """Share with an encounter without one; NaN without any."""
        return self.encounters / self.others if self.others else float("nan")

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each disaster that this looks like."""
        if min(self.attempts, self.others) < FEWEST_WEEKS:
            return ()
        shares = (
            f"{self.after_attempt:.0%} of attempts are followed by an encounter, "
            f"{self.without_attempt:.0%} of other weeks"
        )
        said = []
        if self.after_attempt >= MOSTLY_ANSWERED and self.without_attempt < self.after_attempt / LEAST_RATIO:
            said.append(
                f"this looks like a log of reached contacts only ({shares}): add the attempts that reached nobody, or "
                "a policy learns that contact is its own success"
            )
        if self.without_attempt >= COMMON_WITHOUT and self.after_attempt < LEAST_RATIO * self.without_attempt:
            said.append(
                f"{self.response} looks like medical visits, not completed contacts ({shares}): count "
                "contacts of the care program that reached the member, or a policy learns nothing about answers"
            )
        return tuple(said)
