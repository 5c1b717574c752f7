"""The signed logarithm, by which counts and dollars become what linear models of a state can use."""

import numpy as np
from jaxtyping import Float


def squash(x: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "row k"]:
    """Signed logarithm, which tames heavy tails."""
    return np.sign(x) * np.log1p(np.abs(x))
