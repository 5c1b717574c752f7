#!/usr/bin/env bash
# Minari 0.5.4: the parts of `split_dataset` hold their episodes in the order of a draw, not of the dataset, so that an
# array kept beside the dataset, one row an episode, belongs to other episodes than its place says.
#
# Seen:      the part of all six episodes: [3, 2, 5, 4, 0, 1]
# For us:    labels of members are joined by an episode's own number, never by place (`load_replay_buffer`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'minari[hdf5]==0.5.4' gymnasium==1.2.3 h5py==3.16.0 pillow
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import os

os.environ["MINARI_DATASETS_PATH"] = os.path.join(os.getcwd(), "store")
import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer


def make(name, episodes=1):
    buffers = [
        EpisodeBuffer(
            id=number, observations=np.full((3, 1), number, np.float32), actions=np.zeros(2, np.int64),
            rewards=[float(number)] * 2, terminations=[False, True], truncations=[False, False],
        )
        for number in range(episodes)
    ]
    return minari.create_dataset_from_buffers(
        name, buffer=buffers, observation_space=gym.spaces.Box(-99, 99, (1,)), action_space=gym.spaces.Discrete(2),
        algorithm_name="none", code_permalink="none", author="none", author_email="none",
    )



(part,) = minari.split_dataset(make("clinic/all-v0", episodes=6), [6], seed=0)
order = [int(episode.id) for episode in part.iterate_episodes()]
print(f"the part of all six episodes: {order}")
raise SystemExit(0 if order == [3, 2, 5, 4, 0, 1] else 1)
PYTHON
