"""What the contest chose, in numbers and in a sentence, and what it was made from."""

import json
from dataclasses import asdict, dataclass

from frl_algos.action_effects.estimate import Effects
from frl_algos.action_effects.planning import Planned
from frl_algos.action_effects.targets import Targets


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, and by how much.

    Attributes:
        critic: "effects", "expectile", "planned", or "none" for the clone.
        td_lambda: Credit of its returns.
        states: What effects are crossed with, one of `STATES`, or `JOINT`.
        temperature: At which it was judged; None where nothing was.
        label: The choice in words.
        runner_up: The best of the others in words; empty without others.
        gain, gain_error: Of the choice over the behaviour policy a person, by held-out people, and its standard error.
        margin, margin_error: Lead over the runner-up, and its standard error.
        people: Judges.
        step_gain, step_error: Of a small step along its advantages, by which the gain is shown where the policy's own
            varies too much to show it; 0 where that is not needed.
        table: Number of states with planned values.
        whole: Whether the values of whole policies were judged, by a model of the states (`model_judge`). The
            temperature is then the one to follow.
        mild: Whether it follows its advantages less far than usual, as more would claim what no episode pays.
    """

    critic: str
    td_lambda: float
    states: str
    temperature: float | None
    label: str
    runner_up: str = ""
    gain: float = 0.0
    gain_error: float = 0.0
    margin: float = 0.0
    margin_error: float = 0.0
    people: int = 0
    step_gain: float = 0.0
    step_error: float = 0.0
    table: int = 0
    whole: bool = False
    mild: bool = False

    def __str__(self) -> str:
        """One sentence."""
        if not self.people:
            return f"follows {self.label}; too few people to compare it with others"
        said = (
            f"follows {self.label}: held-out people gain {self.gain:.3g} each over the behaviour policy "
            f"(standard error {self.gain_error:.2g}, {self.people:,} people)"
        )
        if self.runner_up:
            said += f", {self.margin:+.2g} (standard error {self.margin_error:.2g}) against {self.runner_up}"
        if self.step_error:
            said += (
                f"; a small step the same way, which is judged more exactly, gains {self.step_gain:.2g} "
                f"(standard error {self.step_error:.2g})"
            )
        if not self.mild:
            return said
        if self.critic == "none":
            return f"{said}; the others claim more than an episode can pay"
        return f"{said}; at temperature {self.temperature:g}, as more would claim what no episode pays"

    def to_json(self) -> str:
        """The choice as JSON, for settings and model files."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Choice":
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A choice with what it was made from.

    Attributes:
        choice: The choice.
        targets: With its credit.
        effects: The estimate; None where the critic is another.
        planned: Planned values, likewise.
    """

    choice: Choice
    targets: Targets
    effects: Effects | None
    planned: Planned | None = None
