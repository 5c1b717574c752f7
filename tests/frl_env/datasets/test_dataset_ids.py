"""What is no dataset id is refused by every command and function, and nothing beside a dataset is touched."""

import hashlib
import json
import os
import string
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import minari
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from minari.dataset.minari_dataset import parse_dataset_id

from frl_env import cli
from frl_env.datasets import (
    Recipe,
    build_dataset,
    check_dataset,
    dataset_place,
    delete_dataset,
    ensure_dataset,
    import_table,
    open_dataset,
    placing,
    store,
)
from frl_env.datasets.ids import parse_id
from frl_env.errors import UserError

OTHER = "team/other-v0"

BAD = [
    "", " ", ".", "..", "../folder", "/", "//", "team", "team/", "glob/*", "team/*-v0", "*", "?", "[a-z]-v0", "data",
    "data/care-v0", "team/data/care-v0", "team/other-v0/care-v0", "team/./care-v0", "team/../care-v0", "team//care-v0",
    "/team/care-v0", "team/care-v0/", "team/care-v00", "team/care-v\u0663", "team/care", "-v0", "team/care-v0\n",
    "team/care-v0\0", "~/care-v0", "team\\care-v0", "team/cafe\u0301-v0", ".hidden/care-v0", "team/.care-v0",
    "team/" + "x" * 300 + "-v0", "/".join(["ab"] * 800) + "/care-v0", "team/other-v0/data", ".other-v0.lock",
    "team/care-v" + "1" * 5000, "con\u202egro/care-v0", "namespace_metadata.json", "%2e%2e/care-v0",
]  # fmt: skip


def _tree(folder: Path) -> dict[str, str]:
    """Every file and folder with its content; what was compared and locks may come and go."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        for file in sorted(folder.rglob("*"))
        if not file.name.endswith(".lock") and file.name != ".checked"
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A store with a dataset, an unfinished import and a stranger's files, and more beside it."""
    folder = tmp_path_factory.mktemp("world")
    before, os.environ["MINARI_DATASETS_PATH"] = os.environ["MINARI_DATASETS_PATH"], str(folder / "store")
    few, store.REFERENCE_MEMBERS = store.REFERENCE_MEMBERS, 100
    try:
        build_dataset(Recipe(dataset_id=OTHER, description="", members=4, seed=3, horizon=3))
        for strange in (
            "data",
            "folder/data",
            "store/glob/.x-v0.building-1",
            "store/team/.theirs-v0.building-1",
            "store/team/notes",
        ):
            (folder / strange).mkdir(parents=True)
            (folder / strange / "metadata.json").write_text("{}")
        yield folder
    finally:
        os.environ["MINARI_DATASETS_PATH"], store.REFERENCE_MEMBERS = before, few


def _frl(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frl", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def _functions(table: Path) -> dict[str, Callable[[str], object]]:
    return {
        "parse": parse_id,
        "place": dataset_place,
        "recipe": lambda i: Recipe(dataset_id=i, description="", members=1, seed=0),
        "build": build_dataset,
        "check": check_dataset,
        "ensure": ensure_dataset,
        "open": open_dataset,
        "delete": delete_dataset,
        "has": placing.has_dataset,
        "import": lambda i: import_table(table, i, force=True),
    }


@pytest.fixture(scope="module")
def file_of_members(whole_table, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("table") / "members.parquet"
    whole_table.head(24).to_parquet(file)
    return file


@pytest.mark.parametrize("dataset_id", BAD, ids=lambda text: ascii(text)[:40])
def test_what_is_no_id_is_refused_by_all(dataset_id, world, file_of_members):
    before = _tree(world)
    for name, function in _functions(file_of_members).items():
        with pytest.raises(UserError) as refused:
            function(dataset_id)
        message = str(refused.value)
        assert len(message) < 600, name
        assert "\n" not in message, name
    assert _tree(world) == before
    assert set(minari.list_local_datasets()) == {OTHER}


@pytest.mark.parametrize("dataset_id", ["", ".", "team", "../folder", "glob/*", "data/care-v0"])
def test_commands_refuse_it_in_one_line(dataset_id, world, file_of_members, tmp_path, capsys):
    before = _tree(world)
    for command in (
        ("delete", "--yes", dataset_id),
        ("build", dataset_id, "--force"),
        ("load", dataset_id),
        ("show", dataset_id),
        ("export", dataset_id, str(tmp_path / "out.csv")),
        ("import", str(file_of_members), "--id", dataset_id, "--force"),
    ):
        assert _frl(*command) == 2, command
        screen = capsys.readouterr()
        assert "deleted" not in screen.out
        assert [line for line in screen.err.splitlines() if line.strip()][-1].startswith("error: "), command
        assert "Traceback" not in screen.err
    assert _tree(world) == before
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("delete", "--yes", ""), "what follows --yes"), (("delete", ""), "what follows delete"), (("", "list"), "frl"),
     (("delete", "--yes="), "--yes"), (("import", "x.csv", "--id", ""), "what follows --id")],
)  # fmt: skip
def test_an_unset_variable_is_named(words, said, world, capsys):
    before = _tree(world)
    assert _frl(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(f"{said} is empty, as of a shell variable that is not set; write a value")
    assert _tree(world) == before


def test_an_absolute_path_is_no_id(world, capsys):
    assert _frl("delete", "--yes", str(world / "folder")) == 2
    assert (world / "folder/data/metadata.json").exists()


PARTS = st.one_of(
    st.sampled_from(["team", "data", "other-v0", "..", ".", "", "*", "own", "notes", ".own-v0", "-v0", "v0", "x-v00"]),
    st.text(alphabet=string.ascii_letters + string.digits + "-_.*?[]/\\~ \n\0\u0301\u0663", max_size=12),
    st.text(max_size=8),
)
IDS = st.builds(
    lambda parts, ending: "/".join(parts) + ending,
    st.lists(PARTS, min_size=0, max_size=4),
    st.sampled_from(["", "-v0", "-v12", "-v00", "-validation-v0", "/data", "/"]),
)

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=2_000)


def _nothing_else_is_touched(dataset_id: str, world: Path, table: Path) -> None:
    before = _tree(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        for step in (
            lambda: delete_dataset(dataset_id),
            lambda: import_table(table, dataset_id),
            lambda: import_table(table, dataset_id, force=True),
            lambda: open_dataset(dataset_id),
        ):
            if dataset_id == OTHER:
                continue
            with suppress(UserError):
                step()
        mine = _tree(world).keys() - before.keys()
        assert set(minari.list_local_datasets()) >= {OTHER}, "Minari's own listing works"
        if mine:
            place = parse_id(dataset_id)
            own = f"store/{place}"
            folders = {f"store/{'/'.join((place.namespace or '').split('/')[:n])}".rstrip("/") for n in range(1, 9)}
            markers = {f"{folder}/namespace_metadata.json" for folder in folders}
            assert all(name == own or name.startswith(f"{own}/") or name in folders | markers for name in mine)
            parse_dataset_id(dataset_id)
            delete_dataset(dataset_id)
            for marker in markers:
                if marker not in before:
                    (world / marker).unlink(missing_ok=True)
            for folder in sorted(folders - before.keys(), reverse=True):
                if (world / folder).is_dir():
                    for lock in (world / folder).glob(".*.lock"):
                        lock.unlink()
                    (world / folder).rmdir()
    left = _tree(world)
    assert {name: left.get(name) for name in before} == before
    for name in sorted(left.keys() - before.keys(), reverse=True):  # empty namespaces of a refused import
        (world / name).rmdir() if not any((world / name).glob("[!.]*")) else None


@QUICK
@given(dataset_id=IDS)
@example(dataset_id="team/own-v0")
@example(dataset_id="notes/own-v0")
def test_no_command_touches_anything_else(dataset_id, world, file_of_members):
    _nothing_else_is_touched(dataset_id, world, file_of_members)


@pytest.mark.slow
@LONG
@given(dataset_id=IDS)
def test_no_command_touches_anything_else_for_long(dataset_id, world, file_of_members):
    _nothing_else_is_touched(dataset_id, world, file_of_members)


def test_a_folder_is_deleted_only_if_its_metadata_call_it_a_dataset(world):
    place = world / "store/team/thing-v0"
    (place / "data").mkdir(parents=True)
    (place / "data/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is no dataset by its metadata; move it away by hand"):
        delete_dataset("team/thing-v0")
    (place / "data/metadata.json").write_text("{}")
    with pytest.raises(UserError, match="is no dataset by its metadata"):
        delete_dataset("team/thing-v0")
    (place / "data/metadata.json").write_text(json.dumps({"dataset_id": "team/thing-v0", "data_format": "hdf5"}))
    (place / "more").mkdir()
    with pytest.raises(UserError, match=r"holds 1 other file or folders \('more' first\)"):
        delete_dataset("team/thing-v0")
    (place / "more").rmdir()
    delete_dataset("team/thing-v0")
    assert not place.exists()


def test_a_namespace_that_looks_like_a_dataset_is_not_replaced(world, file_of_members):
    """Others may have put datasets below a folder whose name is an id."""
    inner = world / "store/team/outer-v0/inner-v0/data"
    inner.mkdir(parents=True)
    (inner / "metadata.json").write_text("theirs")
    with pytest.raises(UserError, match="'inner-v0' first"):
        import_table(file_of_members, "team/outer-v0", force=True)
    assert (inner / "metadata.json").read_text() == "theirs"


def test_links_out_of_the_store_are_not_followed(world, file_of_members, tmp_path):
    (tmp_path / "care-v0" / "data").mkdir(parents=True)
    (tmp_path / "care-v0" / "data" / "metadata.json").write_text(json.dumps({"dataset_id": "away/care-v0"}))
    (world / "store" / "away").symlink_to(tmp_path)
    try:
        for step in (delete_dataset, lambda i: import_table(file_of_members, i, force=True)):
            with pytest.raises(UserError, match="is a link"):
                step("away/care-v0")
    finally:
        (world / "store" / "away").unlink()
    assert (tmp_path / "care-v0" / "data" / "metadata.json").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["care-v0"]


def test_deleted_is_said_only_when_all_is_gone(world, monkeypatch, capsys):
    build_dataset(Recipe(dataset_id="team/gone-v0", description="", members=4, seed=3, horizon=3))

    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        assert _frl("delete", "--yes", "team/gone-v0") == 2
    screen = capsys.readouterr()
    assert "deleted" not in screen.out
    assert "can't delete all of dataset 'team/gone-v0' (Permission denied)" in screen.err
    for left in (world / "store/team").glob(".gone-v0.discarded"):
        placing.discard(left, dataset_place("team/gone-v0"))


def test_listing_survives_folders_that_are_no_datasets(world, capsys):
    (world / "store/team/data").mkdir()
    try:
        assert _frl("list") == 0
        assert "medicaid-synthetic-v0" in capsys.readouterr().out
        assert _frl("load", "team/nowhere-v0") == 2
        assert "unknown dataset 'team/nowhere-v0'" in capsys.readouterr().err
    finally:
        (world / "store/team/data").rmdir()
