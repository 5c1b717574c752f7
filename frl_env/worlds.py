"""The difficulty ladder: named worlds, each the base world with some dials turned.

| Dial           | What it turns                                                                       |
|----------------|-------------------------------------------------------------------------------------|
| `effects`      | effect preset: "rct", "program" or "null"                                           |
| `strength`     | ratio on every effect of a contact                                                  |
| `insight`      | how much unrecorded state the care team acts on: confounding                        |
| `goal_insight` | share of goals that it draws from the open needs: confounding of the goal           |
| `exploration`  | share of weeks that it decides uniformly over the valid actions: overlap            |
| `screening`    | share of needs that are screened at entry and then observed: how much is missing    |
| `past_contacts` | whether the program's own past attempts are observed: what it did itself           |
"""

from dataclasses import asdict, dataclass, fields
from functools import cached_property

from frl_env.errors import make_plain
from frl_env.parameters import Parameters, preset

ENVIRONMENT_ID = "frl/MedicaidCare-v0"


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated world by its dials; None leaves a dial where the effect preset has it.

    Args:
        effects: Effect preset: "rct", "program" or "null".
        strength: Ratio on every effect of a contact, 0 or more.
        insight: How much of the unrecorded state the care team acts on, in 0..1.
        exploration: Share of weeks that it decides uniformly over valid actions, in 0..1.
        goal_insight: Share of goals that it draws from the member's open needs, in 0..1.
        screening: Share of needs screened at entry, in 0..1; above 0 the results are observed.
        past_contacts: Whether the program's own past attempts are observed.

    Raises:
        UserError: If a preset is unknown or a dial is out of range.
    """

    effects: str = "rct"
    strength: float | None = None
    insight: float | None = None
    exploration: float | None = None
    goal_insight: float | None = None
    screening: float | None = None
    past_contacts: bool | None = None

    def __post_init__(self) -> None:
        """Checks every dial."""
        make_plain(self, *(each.name for each in fields(self)))
        _ = self.parameters

    @cached_property
    def parameters(self) -> Parameters:
        """Every number of this world."""
        dials = asdict(self)
        return preset(dials.pop("effects"), **dials)

    @property
    def seen(self) -> dict[str, bool]:
        """What is observed besides the seven measures, as arguments of `frl_env.simulator.state.observe`."""
        return self.parameters.recording.seen

    def dials(self) -> dict[str, str | float]:
        """The dials that are turned, JSON-able."""
        return {name: value for name, value in asdict(self).items() if value is not None}


BASE = World()
"""The world of the main task."""

LADDER = {
    ENVIRONMENT_ID: BASE,
    "frl/MedicaidCareScreened-v0": World(screening=1.0),
    "frl/MedicaidCareUnconfounded-v0": World(insight=0.0, goal_insight=0.0),
    "frl/MedicaidCareRandom-v0": World(exploration=1.0),
    "frl/MedicaidCareProgram-v0": World(effects="program"),
    "frl/MedicaidCareNull-v0": World(effects="null"),
    "frl/MedicaidCareContacts-v0": World(past_contacts=True),
}
"""Every named world, by environment id."""


def environment_id(world: World) -> str:
    """Id of the environment with these parameters, or the base environment's when there is none."""
    return next((name for name, known in LADDER.items() if known.parameters == world.parameters), ENVIRONMENT_ID)
