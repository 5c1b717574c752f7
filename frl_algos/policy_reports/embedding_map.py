"""Trained level embeddings in two dimensions, to be looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from frl_algos.networks.joint_scores import ActionEncoder


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingMap:
    """First two principal components of the level embeddings of a policy.

    Attributes:
        table: Columns factor, level, x, y; one row a level, in the order of the action space.
        explained: Share of the variance along x and y.
        size: Length of the embeddings.
    """

    table: pd.DataFrame
    explained: tuple[float, float]
    size: int


def embedding_map(algorithm: Any) -> EmbeddingMap | None:
    """The map of a trained policy; None for one without learned embeddings of levels.

    Only distances mean something: a rotation of all embeddings is the same policy, and signs are chosen so that the
    largest coordinate of each axis is positive.
    """
    # Found by what it has: an import of the learner would make whatever draws this map depend on all of it.
    try:
        encoder = algorithm.impl.policy.action_encoder
    except (AttributeError, NotImplementedError):  # d3rlpy raises the latter where an algorithm names no policy
        return None
    if not isinstance(encoder, ActionEncoder):
        return None
    space = algorithm.action_space
    embeddings = encoder.tables[0].detach().cpu().numpy().astype(np.float64)
    left, singular, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    places = np.zeros((len(embeddings), 2))
    places[:, : min(2, len(singular))] = (left * singular)[:, :2]
    signs = np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])  # a direction has no sign of its own
    places *= np.where(signs == 0, 1, signs)
    shares = (places**2).sum(axis=0) / max(float((singular**2).sum()), 1e-300)
    named = [(factor.name, level) for factor in space.factors for level in factor.levels]
    table = pd.DataFrame(named, columns=["factor", "level"]).assign(x=places[:, 0], y=places[:, 1])
    return EmbeddingMap(table=table, explained=(float(shares[0]), float(shares[1])), size=embeddings.shape[1])
