#!/usr/bin/env bash
# Minari 0.5.4: a dataset may be called `data/NAME-v0` or `TEAM/data/NAME-v0`; it is written and can be loaded, and from
# then on `list_local_datasets` raises for the whole store, because a folder `data` is taken for a dataset's own.
#
# Seen:      loaded 1 episode, then listing raised TypeError
# For us:    such ids are refused before anything is written, and `frl list` passes over such folders.
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



make("clinic/data/care-v0")
loaded = minari.load_dataset("clinic/data/care-v0").total_episodes
try:
    listed = f"gave {sorted(minari.list_local_datasets())}"
except Exception as problem:
    listed = f"raised {type(problem).__name__}"
print(f"loaded {loaded} episode, then listing {listed}")
raise SystemExit(0 if loaded == 1 and listed == "raised TypeError" else 1)
PYTHON
