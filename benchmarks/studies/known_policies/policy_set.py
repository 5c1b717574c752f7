"""Policies of known and different quality, each with exact probabilities of its actions given one observation.

They are what estimators are tested on: references, blends of them, learned policies, and policies made worse on
purpose (the right contacts for the wrong members, the right members over the wrong channel).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from scipy.special import expit, softmax

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.references import Heuristic
from frl_env.search.policy_search import LinearPolicy, best_observation_only, features
from frl_env.worlds import World

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)`, raw units, to probabilities of all joint actions `(n, n_joint)`."""

CHUNK = 4_000
"""Observations whose probabilities are held at once."""

_SPACE = MEDICAID_ACTIONS
_NULL = int(_SPACE.ravel(_SPACE.null_action))
_MODALITIES = _SPACE["modality"].levels


@dataclass(frozen=True)
class Drawn:
    """A policy that draws its decisions from given probabilities.

    Args:
        probabilities: Of all joint actions.
    """

    probabilities: Probabilities

    def __call__(
        self, observations: Float32[np.ndarray, "n k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "n factor"]:
        """Draws levels for every row of observations."""
        uniform = rng.random(len(observations))
        joints = np.empty(len(observations), dtype=np.int64)
        for start in range(0, len(observations), CHUNK):
            part = slice(start, start + CHUNK)
            cumulative = np.cumsum(self.probabilities(observations[part]), axis=1, dtype=np.float64)
            level = uniform[part, None] * cumulative[:, -1:]
            joints[part] = (cumulative <= level).sum(axis=1)
        return _SPACE.unravel(np.minimum(joints, _SPACE.n_joint - 1))


def nothing(observations: np.ndarray) -> np.ndarray:
    """Never contacts anybody."""
    return _one_hot(np.full(len(observations), _NULL))


def uniform(observations: np.ndarray) -> np.ndarray:
    """Every valid action alike."""
    return np.tile((_SPACE.valid / _SPACE.valid.sum()).astype(np.float32), (len(observations), 1))


def heuristic(observations: np.ndarray) -> np.ndarray:
    """The care manager's rule, which leaves nothing to chance."""
    return _one_hot(_SPACE.ravel(Heuristic.decide(observations, np.random.default_rng(0))))


def linear(policy: LinearPolicy, *, contact: float = 1.0) -> Probabilities:
    """A linear policy of `frl_env.search.policy_search`.

    Args:
        policy: The policy.
        contact: Factor on the log odds of a contact; -1 contacts those whom the policy would leave alone.
    """

    def probabilities(observations: np.ndarray) -> np.ndarray:
        x = features(observations)
        weights = policy.weights
        act = expit(contact * (x @ weights["contact"]))[:, 0]
        modality, goal = (softmax(x @ weights[head], axis=1) for head in ("modality", "goal"))
        provider = softmax(weights["provider"], axis=1)
        urgent = expit(x @ weights["urgency"])
        urgency = np.concatenate([1 - urgent, urgent], axis=1)
        # Axes: observation, modality, provider, goal, urgency; level 0 of the first three factors is no contact.
        joint = np.zeros((len(x), *_SPACE.nvec), dtype=np.float32)
        pairs = (goal[:, None, :] * provider.T[None]) * act[:, None, None]
        joint[:, 1:, 1:, 1:] = modality[:, :, None, None, None] * (pairs[..., None] * urgency[:, None, None])[:, None]
        joint = joint.reshape(len(x), -1)
        joint[:, _NULL] = 1 - act
        return joint

    return probabilities


def blend(first: Probabilities, second: Probabilities, share: float) -> Probabilities:
    """Follows the first policy in that share of the weeks, the second in the others."""
    return lambda observations: share * first(observations) + (1 - share) * second(observations)


def over(modality: str, policy: Probabilities) -> Probabilities:
    """A policy that contacts whom `policy` does, about the same, but always over one channel."""
    level = _MODALITIES.index(modality)

    def probabilities(observations: np.ndarray) -> np.ndarray:
        joint = policy(observations).reshape(len(observations), len(_MODALITIES), -1)
        moved = np.zeros_like(joint)
        moved[:, 0] = joint[:, 0]
        moved[:, level] = joint[:, 1:].sum(axis=1)
        return moved.reshape(len(joint), -1)

    return probabilities


def policy_set(world: World, learned: Mapping[str, Probabilities]) -> dict[str, Probabilities]:
    """The policies by name; where no policy was searched for, those that are made from one are left out.

    Args:
        world: Where they are to act.
        learned: Trained policies to add.
    """
    given = {
        "no_program": nothing,
        "random": uniform,
        "heuristic": heuristic,
        "half_heuristic": blend(heuristic, nothing, 0.5),
    }
    searched = best_observation_only(world)
    return given | ({} if searched is None else _of_searched(searched)) | dict(learned)


def _of_searched(found: LinearPolicy) -> dict[str, Probabilities]:
    """Policies made from the best observation-only one: blends, and ones made worse on purpose."""
    best = linear(found)
    return {
        "best_observation_only": best,
        "quarter_best": blend(best, nothing, 0.25),
        "half_best": blend(best, nothing, 0.5),
        "half_best_half_random": blend(best, uniform, 0.5),
        "best_by_phone": over("PHONE_CALL", best),
        "best_by_text": over("SMS_TEXT", best),
        "best_for_the_others": linear(found, contact=-1.0),
    }


def _one_hot(joints: np.ndarray) -> np.ndarray:
    probabilities = np.zeros((len(joints), _SPACE.n_joint), dtype=np.float32)
    probabilities[np.arange(len(joints)), joints] = 1.0
    return probabilities
