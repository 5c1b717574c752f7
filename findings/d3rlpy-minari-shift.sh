#!/usr/bin/env bash
# d3rlpy 2.8.1: `d3rlpy.datasets.get_minari` pairs actions with observations of other steps, from the second episode on.
# Minari keeps one observation more than actions an episode (the one after the last action). All are strung together and
# cut by the ends of the *actions*, so that every episode begins one step further off than the one before.
#
# Seen:      three episodes of two steps; first observations 0, 10, 20 are loaded as 0, 2, 11
# For us:    `load_replay_buffer` aligns episode by episode; docs/d3rlpy.md says not to use `get_minari`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'd3rlpy==2.8.1' 'minari[hdf5]==0.5.4' \
  gymnasium==1.0.0 h5py==3.16.0 pillow
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import os

os.environ["MINARI_DATASETS_PATH"] = os.path.join(os.getcwd(), "store")
import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

buffers = [
    EpisodeBuffer(
        id=number, observations=np.float32([[0], [1], [2]]).repeat(4, axis=1) + 10 * number, actions=np.zeros(2, np.int64),
        rewards=[0.0, 0.0], terminations=[False, True], truncations=[False, False],
    )
    for number in range(3)
]
minari.create_dataset_from_buffers(
    "clinic/steps-v0", buffer=buffers, env="CartPole-v1", observation_space=gym.spaces.Box(-99, 99, (4,)),
    action_space=gym.spaces.Discrete(2), algorithm_name="none", code_permalink="none", author="none",
    author_email="none",
)
import d3rlpy

loaded, _ = d3rlpy.datasets.get_minari("clinic/steps-v0")
stored = [int(episode.observations[0, 0]) for episode in minari.load_dataset("clinic/steps-v0")]
found = [int(episode.observations[0, 0]) for episode in loaded.episodes]
print(f"first observations as stored: {stored}")
print(f"as loaded:                    {found}")
raise SystemExit(0 if (stored, found) == ([0, 10, 20], [0, 2, 11]) else 1)
PYTHON
