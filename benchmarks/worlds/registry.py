"""The worlds by name, and how many rows are logged of each."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.worlds.dm_control_tasks.task import TASKS, ControlTask
from benchmarks.worlds.episodes import EPISODES
from benchmarks.worlds.linear_bandit import LinearBandit
from benchmarks.worlds.maze import PUBLISHED_RANDOM, Maze
from benchmarks.worlds.rooms import Rooms
from benchmarks.worlds.sepsis_treatments import SepsisTreatments
from benchmarks.worlds.world import World
from benchmarks.worlds.xor import Xor
from frl_env.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A world as it stands in the table.

    Attributes:
        make: Makes it.
        rows: Logged of it.
        title: In a table.
        version: Raised when the world or its logging policy changes.
        episodes: Of a true value.
        packages: That it needs, beside those of the project.
    """

    make: Callable[[], World]
    rows: int
    title: str
    version: int = 0
    episodes: int = EPISODES
    packages: tuple[str, ...] = ()


SMALL: dict[str, Entry] = {
    "bandit-50k": Entry(make=LinearBandit, rows=50_000, title="bandit, linear in 10 observations, 50,000 rows"),
    "bandit-20k": Entry(make=LinearBandit, rows=20_000, title="the same, 20,000 rows"),
    "rooms": Entry(make=Rooms, rows=50_000, title="ten rooms in a row, reward at the end"),
    "xor-state": Entry(make=lambda: Xor(by_state=True), rows=50_000, title="XOR of two factors, by state"),
    "xor": Entry(make=lambda: Xor(by_state=False), rows=50_000, title="XOR of two factors, no state"),
}
"""Five worlds that each ask one thing."""

MAZES: dict[str, Entry] = {
    f"maze-{n}": Entry(make=lambda n=n: Maze(n), rows=100_000, title=f"maze, {n} actuators, {2**n:,} joint actions")
    for n in PUBLISHED_RANDOM
}

SEPSIS: dict[str, Entry] = {
    "sepsis-epsilon": Entry(
        make=lambda: SepsisTreatments(epsilon=0.1), rows=100_000, title="sepsis treatments, nine in ten the best"
    ),
    "sepsis-uniform": Entry(
        make=lambda: SepsisTreatments(epsilon=1.0), rows=100_000, title="sepsis treatments, logged at random"
    ),
}
"""The sepsis simulator of Oberst and Sontag (2019), with two of the logging policies of Tang et al. (2022)."""

CONTROL_EPISODES = 50
"""Few, because a return is a sum over 1,000 steps."""

CONTROL: dict[str, Entry] = {
    name: Entry(
        make=lambda name=name: ControlTask(name),
        rows=100_000,
        title=f"DM Control, {name} in three bins an actuator",
        episodes=CONTROL_EPISODES,
        packages=("dm_control", "mujoco"),
    )
    for name in TASKS
}
"""Tasks that need the packages of the extra `control`."""

WORLDS = SMALL | MAZES | SEPSIS | CONTROL


def world_entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: If there is none; says which are near.
    """
    if name not in WORLDS:
        raise unknown_name("world", name, WORLDS)
    return WORLDS[name]
