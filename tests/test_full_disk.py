"""Files that belong together are all written or none, at whatever moment a disk is full or a rename fails."""

import errno
from types import SimpleNamespace

import pandas as pd
import pytest
from full_disk import check_all_or_none, full

from benchmarks import report
from benchmarks.docs_pages import leaderboard
from benchmarks.studies import frontier_table
from benchmarks.sweep.results import Results
from frl_env import reference_returns
from frl_env.datasets import Recipe, build_dataset, export_table
from frl_env.errors import UserError
from frl_env.evaluation.files import write_together
from frl_env.files import atomic
from frl_env.worklist.writing import write_worklist


def test_the_disk_is_full_from_the_moment_on(tmp_path):
    with full(tmp_path, 2, renames=False) as disk:
        (tmp_path / "a").write_text("a")
        for name in ("b", "c"):
            with pytest.raises(OSError, match="No space left") as problem:
                (tmp_path / name).write_text("b")
            assert problem.value.errno == errno.ENOSPC
    assert disk.hit
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_files_written_one_by_one_are_found_out(tmp_path):
    def write(number):
        for name in ("page", "data"):
            atomic.write_text(tmp_path / name, str(number))

    with pytest.raises(AssertionError, match="moment"):
        check_all_or_none(write, tmp_path, least=2)


def test_report_and_its_data(tmp_path):
    def write(number):
        files = {"report.json": f'{{"values": {number}}}', "values.csv": str(number)}
        pages = {tmp_path / name: f"{number}" for name in ("report.md", "report.html")}
        report.write_set(tmp_path / "report-data", files, pages)

    check_all_or_none(write, tmp_path, least=4)


def test_scorecard_details_and_table(tmp_path):
    results = Results(tmp_path)
    check_all_or_none(
        lambda number: results.write_scores({"runs": [{"budget": None, "value": number}]}, {"n": number}),
        tmp_path,
        least=4,
    )


def test_leaderboard_and_its_figures(tmp_path, monkeypatch):
    (tmp_path / "LEADERBOARD.md").write_text(leaderboard.MARK)
    monkeypatch.setattr(leaderboard, "PAGE", tmp_path / "LEADERBOARD.md")
    monkeypatch.setattr(leaderboard, "_read", lambda folder: {"number": int(folder.name)})
    monkeypatch.setattr(leaderboard, "page", lambda cards, before, changed: f"{leaderboard.MARK} {cards[0]['number']}")
    monkeypatch.setattr(leaderboard, "kept_figures", lambda cards, file: str(cards[0]["number"]))
    monkeypatch.setattr(leaderboard, "read_figure", lambda study, folder: SimpleNamespace(current=True))
    check_all_or_none(
        lambda number: leaderboard.main([str(number), "-o", str(tmp_path / "LEADERBOARD.md")]), tmp_path, least=2
    )
    assert (tmp_path / "figures/leaderboard.json").exists()


def test_frontier(tmp_path, monkeypatch):
    monkeypatch.setattr(frontier_table, "flat", lambda points: pd.DataFrame(points))
    monkeypatch.setattr(frontier_table, "draw", lambda content: str(content).encode())
    check_all_or_none(
        lambda number: frontier_table.write({"points": [{"value": number}]}, tmp_path / "out"), tmp_path, least=3
    )


def test_worklist_and_its_chances(tmp_path, monkeypatch):
    """The chances are a Parquet file, which Arrow opens by itself; here it is written by Python."""
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda table, place, **_: table.to_csv(place))

    class List:
        def __init__(self, number):
            self.rows = self.chances = pd.DataFrame({"member_id": [number]})

    check_all_or_none(lambda number: write_worklist(List(number), tmp_path / "list.csv", force=True), tmp_path, least=2)


def test_an_export_is_whole_or_as_it_was(tmp_path, empty_store):
    sets = [
        build_dataset(Recipe(dataset_id=f"tests/disk{seed}-v0", description="", members=5, seed=seed, horizon=3))
        for seed in range(2)
    ]
    place = tmp_path / "out"
    place.mkdir()
    for name in ("members.csv", "members.parquet"):
        done = []

        def write(_, name=name, done=done):
            export_table(sets[len(done) % 2], place / name, force=True)
            done.append(name)

        check_all_or_none(write, place, least=1)


def test_figures_of_the_package(tmp_path, monkeypatch):
    """What `frl references --store` keeps."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(reference_returns.resources, "files", lambda _: tmp_path)
    check_all_or_none(
        lambda number: reference_returns.store({"w": {"p": {"value": number}}}, members=1, command=""),
        tmp_path,
        least=1,
    )


def test_a_folder_below_is_made(tmp_path):
    write_together(tmp_path, {"a": b"a", "below/b": b"b"})
    assert (tmp_path / "below/b").read_bytes() == b"b"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write to"):
        write_together(tmp_path, {"a": b"new", "file/b": b"b"})
    assert (tmp_path / "a").read_bytes() == b"a"
