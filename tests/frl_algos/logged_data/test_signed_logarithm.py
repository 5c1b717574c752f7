"""Arrays and tensors are squashed alike."""

import numpy as np
import torch

from frl_algos.logged_data.signed_logarithm import squash, squash_tensor


def test_sign_is_kept_and_tails_are_tamed():
    x = np.asarray([[-np.e + 1, -0.0, 0.0], [1e-3, np.e - 1, 1e6]])
    expected = [[-1.0, 0.0, 0.0], [np.log1p(1e-3), 1.0, np.log1p(1e6)]]
    np.testing.assert_allclose(squash(x), expected)
    np.testing.assert_allclose(squash_tensor(torch.as_tensor(x)).numpy(), expected)
