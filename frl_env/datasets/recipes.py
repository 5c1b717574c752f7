"""Recipes: which world, how many members, which seed make up each named dataset.

A dataset is data made by its recipe, never a file in the repository: the same recipe gives the same bytes. The
small, validation and large datasets hold other members than -v0; evaluation always draws members of its own.
"""

from dataclasses import asdict, dataclass, replace

from gymnasium.envs.registration import EnvSpec

from frl_env.datasets.ids import parse_id
from frl_env.errors import check_whole, make_plain, unknown_name
from frl_env.parameters import VERSION, Parameters
from frl_env.rollout import HORIZON, LONGEST
from frl_env.worlds import BASE, LADDER, World, environment_id


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a dataset is made.

    Args:
        dataset_id: Minari id.
        description: What it is for, in a sentence.
        members: Number of members, one episode each.
        seed: Seed of members, chances and decisions.
        world: The simulated world.
        horizon: Weeks an episode lasts at most.
        shard: Members simulated and kept at a time; each shard has draws of its own.
    """

    dataset_id: str
    description: str
    members: int
    seed: int
    world: World = BASE
    horizon: int = HORIZON
    shard: int = 5_000

    def __post_init__(self) -> None:
        """Checks sizes and names."""
        ranges = {"members": (1, 10**8), "shard": (1, 10**6), "seed": (0, 2**63), "horizon": (1, LONGEST)}
        for name, (low, high) in ranges.items():
            check_whole(f"dataset {self.dataset_id!r}: {name}", getattr(self, name), low=low, high=high)
        make_plain(self, *ranges)
        parse_id(self.dataset_id)

    @property
    def parameters(self) -> Parameters:
        """Every number of the simulated world."""
        return self.world.parameters

    @property
    def shards(self) -> tuple[int, ...]:
        """Number of members of each shard."""
        whole, rest = divmod(self.members, self.shard)
        return (self.shard,) * whole + ((rest,) if rest else ())

    def env_spec(self) -> EnvSpec:
        """Spec of the matching environment; it resolves without an import of this package."""
        return EnvSpec(
            id=f"frl_env:{environment_id(self.world)}",
            entry_point="frl_env.env:MedicaidCareEnv",
            vector_entry_point="frl_env.vector:MedicaidCareVectorEnv",
            kwargs=self.world.dials() | {"horizon": self.horizon},
            max_episode_steps=self.horizon,  # ends nothing that the environment does not; others look for it here
        )

    def fingerprint(self) -> dict[str, object]:
        """Everything that the episodes depend on, JSON-able; another wording of the description is no other dataset."""
        made = asdict(self)
        del made["description"]
        if (
            made["world"]["past_contacts"] is None
        ):  # a dial that earlier builds did not have: left alone, it is no change
            del made["world"]["past_contacts"]
        return {**made, "parameters_version": VERSION}


_SCREENED, _UNCONFOUNDED, _RANDOM, _PROGRAM, _NULL, _CONTACTS = (
    LADDER[f"frl/MedicaidCare{name}-v0"]
    for name in ("Screened", "Unconfounded", "Random", "Program", "Null", "Contacts")
)

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
            dataset_id="frl/medicaid-synthetic-validation-v0",
            description="5,000 other members of the same world, to choose between methods without touching evaluation.",
            members=5_000,
            seed=20_262,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-large-v0",
            description="96,136 members of the same world, the size of the published study: 4.8 million weeks.",
            members=96_136,
            seed=20_263,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-screened-v0",
            description="The members of -v0 with the results of a needs screening on record: the goal can be chosen.",
            members=5_000,
            seed=20_260,
            world=_SCREENED,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-unconfounded-v0",
            description="The care team acts on the record only: no confounding.",
            members=5_000,
            seed=20_260,
            world=_UNCONFOUNDED,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-random-v0",
            description="Every valid action equally likely every week: full overlap, to test estimators.",
            members=5_000,
            seed=20_260,
            world=_RANDOM,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-program-v0",
            description="A strong program with an active care team: effects the size of Waymark's matched study.",
            members=5_000,
            seed=20_260,
            world=_PROGRAM,
        ),
        Recipe(
            dataset_id="frl/medicaid-synthetic-null-v0",
            description="The members of -v0 where contacts change nothing: an honest method finds no gain.",
            members=5_000,
            seed=20_260,
            world=_NULL,
        ),
        *(
            Recipe(
                dataset_id=f"frl/medicaid-synthetic-contacts{part}-v0",
                description=f"The members and weeks of {of}; observations also tell the program's own past contacts.",
                members=members,
                seed=seed,
                world=_CONTACTS,
            )
            for part, of, members, seed in (
                ("", "-v0", 5_000, 20_260),
                ("-small", "-small-v0", 500, 20_261),
                ("-validation", "-validation-v0", 5_000, 20_262),
            )
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


def replicate(dataset_id: str, number: int) -> Recipe:
    """The recipe of a dataset of the same world and size with other members, chances and decisions.

    Args:
        dataset_id: Of `RECIPES`.
        number: Which; any number gives a dataset of its own.
    """
    base = recipe(dataset_id)
    check_whole("replicate", number, low=0, high=10**6)
    name, version = base.dataset_id.rsplit("-v", 1)
    return replace(base, dataset_id=f"{name}-replicate-{number}-v{version}", seed=base.seed + 100 + number)
