"""True values on the simulator: references and learned policies under common random numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from frl_env.errors import UserError
from frl_env.parameters import VERSION
from frl_env.reference_returns import reference_policies
from frl_env.references import ObservationPolicy, Policy
from frl_env.rollout import Recorder, Returns, rollout, standard_error
from frl_env.worlds import World

SEED = 431
"""Seed of evaluation members and chances; no dataset is collected with it."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One simulated world and the members on which every policy is scored.

    Args:
        environment: Id of the environment.
        world: Its world.
        horizon: Weeks an episode lasts at most.
        members: Members of every rollout.
        draw: Number of another draw of members and chances; None for those that all scores are of.
    """

    environment: str
    world: World
    horizon: int
    members: int
    draw: int | None = None

    @classmethod
    def of_dataset(cls, dataset: Any, *, members: int, draw: int | None = None) -> "Evaluation":
        """The world a dataset was collected in.

        Raises:
            UserError: If the dataset does not come from the simulator, or not from this version of it.
        """
        if not has_simulator(dataset):
            raise UserError(f"dataset {dataset.spec.dataset_id!r} has no simulator, so its policies have no true value")
        spec = dataset.spec.env_spec
        recipe = dataset.storage.metadata.get("frl_recipe", {})
        version = recipe.get("parameters_version")
        if version is None:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} was recorded or combined, and nothing says with which simulator "
                "parameters; benchmark one that a recipe makes, or train in Python and try the policy with "
                "frl_env.rollout"
            )
        if version != VERSION:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} was made with simulator parameters {version}, this is {VERSION}; "
                f"run 'frl build {dataset.spec.dataset_id} --force'"
            )
        kwargs = dict(spec.kwargs)
        horizon = int(kwargs.pop("horizon"))
        return cls(environment=spec.id, world=World(**kwargs), horizon=horizon, members=members, draw=draw)

    def references(self, progress: Callable[[str, int, int], None]) -> dict[str, Returns]:
        """Returns of the reference policies."""
        policies = reference_policies(self.world)
        results = {}
        for done, (name, policy) in enumerate(policies.items(), start=1):
            results[name] = self.score(policy)
            progress("references", done, len(policies))
        return results

    def score(
        self,
        policy: Policy,
        progress: Callable[[int, int], None] | None = None,
        watch: Recorder | None = None,
    ) -> Returns:
        """Returns of one policy, on the same members and chances as every other; `watch` sees every week."""

        def tell(week: int, *happened: Any) -> None:
            if watch is not None:
                watch(week, *happened)
            if progress is not None:
                progress(week + 1, self.horizon)

        seed = SEED if self.draw is None else (SEED, self.draw)
        return rollout(
            policy, self.world.parameters, members=self.members, seed=seed, horizon=self.horizon, record=tell
        )

    def score_decisions(
        self,
        decide: Callable[[np.ndarray, np.random.Generator], np.ndarray],
        progress: Callable[[int, int], None] | None = None,
        watch: Recorder | None = None,
    ) -> Returns:
        """Returns of a policy that sees observations only."""
        return self.score(ObservationPolicy(decide, **self.world.seen), progress, watch)


def has_simulator(dataset: Any) -> bool:
    """Whether a dataset comes from the simulator, so that policies trained on it have a true value."""
    spec = dataset.spec.env_spec
    return spec is not None and spec.entry_point == "frl_env.env:MedicaidCareEnv"


def paired_difference(first: Returns, second: Returns) -> tuple[float, float]:
    """Mean difference in value between two policies on the same members, and its standard error."""
    difference = first.value - second.value
    return float(difference.mean()), standard_error(difference)
