"""Studies of a dataset of one's own: made anew under the same name, it is another dataset."""

import minari
import pytest

from benchmarks.studies import encodings, fairness_frontier, paper_scale
from frl_env.datasets import Recipe, build_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

STUDIES = {
    "paper_scale": (paper_scale, ["--batch-size", "64", "--epochs", "1", "--eval-members", "40"], "*.pt", 1),
    "encodings": (
        encodings, ["--test", "me/others-v0", "--updates", "2", "--seeds", "1"], "*.npy", 1 + len(encodings.ENCODERS),
    ),
    "fairness_frontier": (
        fairness_frontier,
        [
            "--attribute", "gender", "--seeds", "1", "--steps", "5", "--weights", "0", "--slacks", "none",
            "--eval-members", "100",
        ],
        "*.parquet", 1,
    ),
}  # fmt: skip


def _own(name: str, seed: int) -> None:
    """A dataset that keeps no hash of what it holds, as one that Minari recorded."""
    made = build_dataset(Recipe(dataset_id=name, description="for tests", members=100, seed=seed, horizon=6))
    made.storage.update_metadata({"frl_content_sha256": None})


@pytest.mark.long
@pytest.mark.parametrize("study", STUDIES)
def test_a_dataset_made_anew_under_its_name_is_studied_anew(study, empty_store, tmp_path):
    program, few, files, kept = STUDIES[study]
    _own("me/others-v0", 3)
    named = "--train" if study == "encodings" else "--dataset"
    for made, seed in enumerate((4, 5), start=1):
        _own("me/crowd-v0", seed)
        program.main([named, "me/crowd-v0", *few, "--out", str(tmp_path)])
        assert len(list(tmp_path.glob(files))) == made * kept
        minari.delete_dataset("me/crowd-v0")
