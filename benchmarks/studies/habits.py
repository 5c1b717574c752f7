"""What it costs FactoredAWR to take a habit for a need: a team that repeats itself for reasons of its own.

    python benchmarks/studies/habits.py

FactoredAWR reads from the goals that come back with the same members how common each need is. Here, at a quarter of
its contacts, the team sets the member's own goal: one dealt out at random beforehand, which has nothing to do with any
need. Rows are such teams; columns the true value of FactoredAWR with and without reading needs and skills, as shares of
the gap between the simulator's care team and the best observation-only policy, over datasets of other members each.
Every run is kept as soon as it is done; the same command goes on where a stopped one was.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study
from benchmarks.studies.ablations import LEAD, OURS, UNSUITED, Variant, lead, values_of
from benchmarks.training.simulated import buffer_of
from frl_algos import FactoredReplayBuffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import collect
from frl_env.parameters import Parameters, preset
from frl_env.reference_returns import ceiling
from frl_env.simulator.behaviour import BehaviourPolicy, provider_given_goal
from frl_env.simulator.population import Members
from frl_env.simulator.state import State
from frl_env.terminal import progress_bar, run_or_say
from frl_env.worlds import World

RESULTS = Kept("benchmarks.studies.habits")
SEED = 1_733
"""Of the first dataset; no dataset of `frl list` is collected with it."""

GOALS = len(MEDICAID_ACTIONS.factors[2].levels) - 1
FEW = 6
"""Goals that members' own ones are dealt from, where they are few."""


@dataclass(frozen=True)
class Habit:
    """A care team.

    Attributes:
        label: What it does.
        insight: Share of goals drawn from the member's open needs.
        share: Share of contacts about the member's own goal.
        goals: How many goals members' own ones are dealt from.
    """

    label: str
    insight: float
    share: float
    goals: int = GOALS


HABITS = (
    Habit("needs: as in -v0", 0.25, 0.0),
    Habit("needs, and habit", 0.25, 0.25),
    Habit("habit only", 0.0, 0.25),
    Habit(f"habit only, {FEW} goals", 0.0, 0.25, FEW),
)
VARIANTS = (OURS, Variant("no needs and skills", UNSUITED))
COLUMNS = {
    "The team's goals": "{team}",
    VARIANTS[0].label: "{ours:.0f} %",
    VARIANTS[1].label: "{other:.0f} %",
    **LEAD,
}
STUDY = Study(
    RESULTS,
    "What it costs FactoredAWR to take a habit for a need.",
    {
        "replicates": (6, 1, "datasets of each team"),
        "members": (5_000, 2, "members of a dataset"),
        "seeds": (1, 1, "training seeds 0..N-1"),
        "steps": (3_000, 1, "updates a run"),
        "eval_members": (20_000, 2, "members of every rollout"),
    },
)


class HabitualTeam:
    """The simulator's care team, which at some contacts sets a goal of habit instead, and the provider by the goal.

    Args:
        parameters: The world; its team decides all else.
        share: Share of contacts about the member's own goal.
        own: `(members,)`, level of each member's own goal.
    """

    def __init__(self, parameters: Parameters, share: float, own: Int64[np.ndarray, "member"]) -> None:
        """Keeps who has which goal."""
        self._team, self._share, self._own = BehaviourPolicy(parameters), share, own
        self._providers = provider_given_goal(parameters).cumsum(axis=1)

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Decides for every member."""
        levels = self._team.act(members, state, rng)
        uniform = rng.random((2, len(members)))
        own = (levels[:, 0] > 0) & (uniform[0] < self._share)
        goal = self._own[own]
        levels[own, 2] = goal
        levels[own, 1] = (uniform[1, own, None] >= self._providers[goal]).sum(axis=1)
        return levels


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains with and without needs and skills on what each team would have logged."""
    options = STUDY.options(arguments)
    evaluation = Evaluation(
        environment="frl_env:frl/MedicaidCare-v0", world=World(), horizon=52, members=options.eval_members
    )
    with progress_bar() as tell:
        references = evaluation.references(tell)
        team, best = references["behaviour"].value, references[ceiling(references)].value
        gap = float((best - team).mean())
        rows = []
        for habit in HABITS:
            shares = np.zeros((options.replicates, len(VARIANTS)))
            for number in range(options.replicates):
                buffer = logged(habit, members=options.members, seed=SEED + number)
                for column, variant in enumerate(VARIANTS):
                    values = values_of(STUDY, variant, buffer, evaluation, options, tell)
                    shares[number, column] = 100 * float((values - team).mean()) / gap
            means = {"ours": float(shares[:, 0].mean()), "other": float(shares[:, 1].mean())}
            rows.append({"team": habit.label, **means, **lead(shares[:, 0] - shares[:, 1])})
    STUDY.tell(
        rows, COLUMNS, options, title=f"share of the gap of {gap:+.4f} closed, over {options.replicates} datasets"
    )


def logged(habit: Habit, *, members: int, seed: int) -> FactoredReplayBuffer:
    """What the team would have logged.

    Args:
        habit: The team.
        members: How many, one episode each.
        seed: Of members, chances, decisions and habits.
    """
    rng = np.random.default_rng((seed, 1))
    own = 1 + rng.permutation(GOALS)[: habit.goals][rng.integers(habit.goals, size=members)]
    parameters = preset(goal_insight=habit.insight)
    episodes = collect(parameters, members=members, seed=seed, policy=HabitualTeam(parameters, habit.share, own))
    return buffer_of(episodes)


if __name__ == "__main__":
    run_or_say(main)
