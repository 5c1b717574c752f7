#!/usr/bin/env bash
# gymnasium 1.4.0 (and 1.0.0): a vector environment keeps the numbers of an info in an array whose type is that of the
# first environment's value. Where that is a whole number, or a truth, what the others say is cut to it without a word:
# costs of 0 and 120.75 become 0 and 120.
#
# Seen:      member 0 says 0, member 1 says 120.75: together 0, 120; the other way round 120.75, 0.0
#            False and 0.4: together False, True
# For us:    every info of our environments is an array of one type, which is the same for every member and week
#            (tests/frl_env/test_vector.py, infos of stock vector environments).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import gymnasium as gym
import numpy as np


class Week(gym.Env):
    """A week of one member, whose info is one number."""

    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, number):
        self.number = number

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {"number": self.number}


def together(*numbers):
    vector = gym.vector.SyncVectorEnv([lambda number=number: Week(number) for number in numbers])
    vector.reset()
    return vector.step(np.zeros(len(numbers), np.int64))[-1]["number"].tolist()


def said(numbers):
    return ", ".join(map(str, numbers))


costs, turned, truths = together(0, 120.75), together(120.75, 0), together(False, 0.4)
print(f"member 0 says 0, member 1 says 120.75: together {said(costs)}; the other way round {said(turned)}")
print(f"False and 0.4: together {said(truths)}")
raise SystemExit(0 if (costs, turned, truths) == ([0, 120], [120.75, 0], [False, True]) else 1)
PYTHON
