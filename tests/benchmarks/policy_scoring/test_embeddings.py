"""Embeddings of levels as the report draws them."""

import numpy as np
import pytest

from benchmarks.policy_scoring.policy_behaviour import embeddings

pytestmark = pytest.mark.usefixtures("one_thread")


def test_embeddings_are_the_trained_ones_seen_from_their_widest_side(trained, tiny_buffer):
    space = tiny_buffer.action_space
    found = embeddings(trained, space)
    assert found is not None
    vectors = trained.impl.modules.actor.action_encoder.tables[0].detach().numpy()
    places = np.asarray([(point["x"], point["y"]) for point in found["points"]])
    assert [point["level"] for point in found["points"]] == [level for factor in space for level in factor.levels]
    centred = vectors - vectors.mean(axis=0)
    assert places.var(axis=0).sum() == pytest.approx(sum(found["explained"]) * centred.var(axis=0).sum(), rel=1e-3)
    assert found["explained"][0] >= found["explained"][1] > 1 / vectors.shape[1]
    for k in (1, 10, 30):  # a projection makes no distance longer
        assert np.linalg.norm(places[0] - places[k]) <= np.linalg.norm(vectors[0] - vectors[k]) * (1 + 1e-3)
    assert embeddings(object(), space) is None
