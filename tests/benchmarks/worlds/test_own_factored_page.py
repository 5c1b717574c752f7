"""The page for one's own factored data ends with a policy that is right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.docs_pages.tutorial import blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "own_factored_data.md"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_first_block_learns_what_was_put_in(empty_store):
    named: dict = {}
    block = blocks(PAGE.read_text())[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 30
    exec(compile(block, PAGE.name, "exec"), named)
    seen = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    pump, speed = named["algorithm"].predict_names(seen).T
    assert ((pump == "ON") == (seen[:, 0] > 0)).mean() > 0.9
    assert (speed == "MAX").mean() > 0.9
