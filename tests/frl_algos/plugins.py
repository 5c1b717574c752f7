"""Algorithms as strangers write them: a few that are sound, and one of each fault."""

from pathlib import Path

import numpy as np
import torch

from frl_env.actions import MEDICAID_ACTIONS


class Constant:
    """The simplest sound algorithm: the most common action of the data, with a softened version of it."""

    def fit(self, buffer, n_steps, **options):
        self.counts = np.bincount(buffer.actions, minlength=buffer.action_space.n_joint).astype(np.float32)

    def predict(self, x):
        return np.full(len(x), self.counts.argmax())

    def predict_probabilities(self, observations):
        return np.tile(self.counts / self.counts.sum(), (len(observations), 1))


class Other(Constant):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.space = buffer.action_space


class WritesIntoTheBuffer(Constant):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        buffer.rewards *= 2


class Levels(Constant):
    def predict(self, x):
        return np.zeros((len(x), 4), dtype=np.int64)


class Floats(Constant):
    def predict(self, x):
        return np.zeros(len(x))


class Outside(Constant):
    def predict(self, x):
        return np.full(len(x), 1_080)


class Invalid(Other):
    def predict(self, x):
        return np.full(len(x), np.flatnonzero(~self.space.valid)[0])


class Drawing(Constant):
    def predict(self, x):
        return np.random.default_rng().choice(np.flatnonzero(self.counts), len(x))


class BatchStatistics(Constant):
    def predict(self, x):
        return np.where(x[:, 0] > x[:, 0].mean(), self.counts.argmax(), MEDICAID_ACTIONS.valid_joints[-1])


class ChancesOfTheBatch(Constant):
    def predict_probabilities(self, observations):
        mild = super().predict_probabilities(observations)
        sure = np.eye(len(self.counts), dtype=np.float32)[self.predict(observations)]
        return np.where(observations[:, :1] == observations[:, :1].max(), sure, mild)


class Draws(Constant):
    def draw(self, observations, uniform):
        return np.searchsorted(self.counts.cumsum() / self.counts.sum(), uniform[:, 0] * (1 - 1e-6), side="right")


class DrawsByItself(Draws):
    def draw(self, observations, uniform):
        return super().draw(observations, np.random.default_rng().random(uniform.shape))


class DrawsAColumn(Draws):
    def draw(self, observations, uniform):
        return super().draw(observations, uniform)[:, None]


class DrawsFloats(Draws):
    def draw(self, observations, uniform):
        return np.full(len(observations), 0.5)


class DrawsWhatHasNoChance(Draws):
    def draw(self, observations, uniform):
        return np.full(len(observations), MEDICAID_ACTIONS.valid_joints[self.counts[MEDICAID_ACTIONS.valid].argmin()])


class Tensors(Constant):
    def predict_probabilities(self, observations):
        return torch.as_tensor(super().predict_probabilities(observations))


class TensorsWithGradients(Constant):
    def predict(self, x):
        return torch.zeros(len(x), requires_grad=True)


class Ragged(Constant):
    def predict(self, x):
        return [[0], *([[0, 0]] * (len(x) - 1))]


class ScalesInPlace(Constant):
    def predict(self, x):
        x -= x[0]
        return super().predict(x)


class SavesAFolder(Constant):
    def save(self, file):
        Path(file).mkdir()


class BatchesByName(Constant):
    batch_size = "all"


class NotNormalised(Constant):
    def predict_probabilities(self, observations):
        return 2 * super().predict_probabilities(observations)


class WrongShape(Constant):
    def predict_probabilities(self, observations):
        return super().predict_probabilities(observations)[:, :-1]


class MassOutside(Other):
    def predict_probabilities(self, observations):
        return np.full((len(observations), len(self.counts)), 1 / len(self.counts), dtype=np.float32)


class NotReproducible(Constant):
    runs = 0

    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        NotReproducible.runs += 1
        self.counts[MEDICAID_ACTIONS.valid_joints[NotReproducible.runs]] = 1e6


class NextToItself(Other):
    """The last joint action, or the one before it."""

    runs = 0

    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        NextToItself.runs += 1
        self.chosen = buffer.action_space.n_joint - 1 - NextToItself.runs % 2

    def predict(self, x):
        return np.full(len(x), self.chosen)


class NotReproducibleInChances(Other):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.share = 0.1 + 0.8 * np.random.default_rng().random()

    def predict_probabilities(self, observations):
        return self.share * super().predict_probabilities(observations) + (1 - self.share) * (
            self.space.valid / self.space.valid.sum()
        )


class EndsPython(Constant):
    def fit(self, buffer, n_steps, **options):
        raise SystemExit(0)


class SavesElsewhere(Constant):
    def save(self, file):
        open(file + ".bin", "w").close()


class Gains(Other):
    """Says what contacts gain, from the week's observations alone: nothing is kept in mind."""

    def gains(self, observations):
        gains = np.tile(1 + observations[:, :1], (1, len(self.space.valid_joints)))
        gains[:, 0] = 0  # doing nothing
        return gains


class NotReproducibleInGains(Gains):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.scale = 1 + np.random.default_rng().random()

    def gains(self, observations):
        return self.scale * super().gains(observations)


class GainsAlone(Gains):
    """Without probabilities."""

    modes = ("greedy",)


class Remembers(Gains):
    def start_memory(self, members):
        return np.zeros((members, 2))

    def remember(self, memory, observations, joints):
        return memory + joints[:, None]

    def gains(self, observations, memory):
        return super().gains(observations)


class GainsOfAll(Gains):
    def gains(self, observations):
        return np.zeros((len(observations), self.space.n_joint))


class WholeGains(Gains):
    def gains(self, observations):
        return super().gains(observations).astype(int)


class GainsNotNumbers(Gains):
    def gains(self, observations):
        gains = super().gains(observations)
        gains[:3, 5] = np.nan
        return gains


class Forgets(Remembers):
    remember = None


class NothingInMind(Remembers):
    start_memory = remember = None


class OtherMemory(Remembers):
    def remember(self, memory, observations, joints):
        return memory[:, 0]


class OneNumberInMind(Remembers):
    def start_memory(self, members):
        return np.zeros(members)


class OneMemoryForAll(Remembers):
    def start_memory(self, members):
        return np.zeros((1, 2))


class MemoryOfTorch(Remembers):
    def start_memory(self, members):
        return torch.zeros(members, 2)


class MemoryOfNobody(Remembers):
    def start_memory(self):
        return np.zeros((64, 2))


class ForgetsWhomItContacts(Remembers):
    def remember(self, memory, observations, joints):
        return memory[joints == self.space.valid_joints[0]]


class Ranks(Gains):
    """Compares the members it is asked about with each other."""

    def gains(self, observations):
        return super().gains(observations) - observations[:, :1].mean()


class DrawsGains(Gains):
    def gains(self, observations):
        return super().gains(observations) + np.random.default_rng().random((len(observations), 1))


class FewArguments(Constant):
    def fit(self, buffer, n_steps):
        super().fit(buffer, n_steps)
