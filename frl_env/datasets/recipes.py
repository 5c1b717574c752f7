"""Recipes: which world, how many members, which seed make up each named dataset.

A dataset is data made by its recipe, never a file in the repository: the same recipe gives the same bytes.
"""

from dataclasses import asdict, dataclass

from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_dataset import parse_dataset_id

from frl_env.env import ENVIRONMENT_ID
from frl_env.errors import UserError, unknown_name
from frl_env.parameters import VERSION, Parameters, preset
from frl_env.rollout import HORIZON


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a dataset is made.

    Args:
        dataset_id: Minari id.
        description: What it is for, in a sentence.
        members: Number of members, one episode each.
        seed: Seed of members, chances and decisions.
        effects: Effect preset of the world.
        insight: Confounding dial; None keeps the preset's.
        exploration: Overlap dial; None keeps the preset's.
        horizon: Weeks an episode lasts at most.
    """

    dataset_id: str
    description: str
    members: int
    seed: int
    effects: str = "rct"
    insight: float | None = None
    exploration: float | None = None
    horizon: int = HORIZON

    def __post_init__(self) -> None:
        """Checks sizes, names and dials."""
        if self.members < 1:
            raise UserError(f"dataset {self.dataset_id!r} needs at least 1 member, not {self.members}")
        parse_dataset_id(self.dataset_id)
        _ = self.parameters

    @property
    def parameters(self) -> Parameters:
        """The simulated world."""
        return preset(self.effects, insight=self.insight, exploration=self.exploration)

    @property
    def environment_kwargs(self) -> dict[str, str | int | float]:
        """Arguments of the matching environment, JSON-able."""
        chosen = {"effects": self.effects, "insight": self.insight, "exploration": self.exploration}
        return {key: value for key, value in chosen.items() if value is not None} | {"horizon": self.horizon}

    def env_spec(self) -> EnvSpec:
        """Spec of the matching environment; it resolves without an import of this package."""
        return EnvSpec(
            id=f"frl_env:{ENVIRONMENT_ID}", entry_point="frl_env.env:MedicaidCareEnv", kwargs=self.environment_kwargs
        )

    def fingerprint(self) -> dict[str, object]:
        """Everything the bytes of the dataset depend on, JSON-able."""
        return {**asdict(self), "parameters_version": VERSION}


RECIPES = {
    item.dataset_id: item
    for item in (
        Recipe(
            dataset_id="frl/medicaid-synthetic-v0",
            description="Weekly care management of 5,000 simulated Medicaid members under a confounded care team; "
            "trial-sized effects. Simulated data, no real person; not to guide care.",
            members=5_000,
            seed=20_260,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-small-v0",
            description="The same world with 500 members, for tests and first tries.",
            members=500,
            seed=20_261,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-null-v0",
            description="The same members in a world where contacts change nothing: an honest method finds no gain.",
            members=5_000,
            seed=20_260,
            effects="null",
        ),
    )
}
"""Every dataset that can be built, by id."""


def recipe(dataset_id: str) -> Recipe:
    """The recipe of that id.

    Raises:
        UserError: If there is none; names the nearest.
    """
    if dataset_id not in RECIPES:
        raise unknown_name("dataset", dataset_id, RECIPES)
    return RECIPES[dataset_id]
