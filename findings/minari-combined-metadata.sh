#!/usr/bin/env bash
# Minari 0.5.4: `combine_datasets` keeps the episodes and drops every metadata entry that the parts hold beyond Minari's
# own, without a word, also where all parts agree.
#
# Seen:      part kept, combined None
# For us:    what actions mean and who is who stands in such entries; loading a combined dataset says what was lost.
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



for name in ("clinic/north-v0", "clinic/south-v0"):
    make(name).storage.update_metadata({"action_names": "kept"})
parts = [minari.load_dataset(name) for name in ("clinic/north-v0", "clinic/south-v0")]
combined = minari.combine_datasets(parts, "clinic/both-v0")
before, after = parts[0].storage.metadata.get("action_names"), combined.storage.metadata.get("action_names")
print(f"part {before}, combined {after}")
raise SystemExit(0 if (before, after) == ("kept", None) else 1)
PYTHON
