"""The leaderboard's sweeps by one command, and how old its figure says that it is."""

import json
import re
import shlex
import subprocess
import textwrap
from types import SimpleNamespace

import pytest

from benchmarks import run as sweep
from benchmarks.docs_pages import leaderboard, leaderboard_page
from benchmarks.result_records.code_key import code_files, code_key
from benchmarks.result_records.figures import FOLDER, read_figure
from benchmarks.result_records.run_key import SHOWING
from benchmarks.sweep.jobs import code_hash
from frl_env.errors import UserError


@pytest.fixture
def ran(monkeypatch):
    """The sweeps that were run: their folder and options; one of folder `null-v0` fails."""
    commands = []

    def run(command, cwd, check):
        assert command[1] == "benchmarks/run.py"
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, 3 if command[-1].endswith("null-v0") else 0)

    monkeypatch.setattr(leaderboard, "subprocess", SimpleNamespace(run=run))
    return commands


def test_one_command_runs_all_sweeps_and_a_failed_one_is_named(ran, monkeypatch):
    with pytest.raises(UserError, match=r"the sweep null-v0 has not ended \(status 3\); the same command goes on"):
        leaderboard.main(["--figure"])
    assert [options[-1].rpartition("/")[2] for options in ran] == list(leaderboard.SWEEPS)
    assert all(options[-2] == "--out" and "--budget" in options for options in ran)
    assert not any("--ope" in options for options in ran), "or NOT_USED would be used"
    monkeypatch.setattr(leaderboard, "SWEEPS", {"v0": "--algo all"})
    assert leaderboard.swept() == [leaderboard.SWEPT / "v0"]
    assert ran[-1] == ["--algo", "all", "--out", str(leaderboard.SWEPT / "v0")]


@pytest.mark.parametrize("arguments", [[], ["results", "--figure"]])
def test_folders_or_the_pages_own_sweeps(arguments):
    with pytest.raises(UserError, match="name the results folders of finished sweeps, or write --figure alone"):
        leaderboard.main(arguments)


def test_with_kept_rows_the_figure_is_as_old_as_they_are(tmp_path):
    before = json.loads((FOLDER / "leaderboard.json").read_text())
    before.pop("confirmed", None)
    file = tmp_path / "leaderboard.json"
    file.write_text(json.dumps(before | {"code": "0" * 16, "commit": "e" * 40}))
    file.write_text(leaderboard.kept_figures([], file))
    kept = read_figure("leaderboard", tmp_path)
    assert not kept.current
    assert kept.commit == "e" * 40, "and was measured where they were"
    assert [row["name"] for row in kept.rows] == [row["name"] for row in before["rows"]]


@pytest.mark.parametrize("earlier", [True, False])
def test_scorecards_of_other_code_are_not_taken_for_todays(tmp_path, earlier):
    """Whoever types the command may name a folder of any day."""
    codes = ["0" * 16 if earlier else code_hash("cql"), code_hash("discrete_bc")]
    card = {
        "dataset": "frl/tiny-v0", "dataset_sha256": "1f", "commit": "a" * 40, "curves": [], "ope": [],
        "summary": [{"seeds": 1, "algo": "cql", "mode": "greedy"}],
        "references": {"behaviour": {"effort_minutes_per_week": 2.9}},
        "runs": [{"algo": name, "code": code} for name, code in zip(("cql", "discrete_bc"), codes, strict=True)],
    }  # fmt: skip
    file = tmp_path / "leaderboard.json"
    file.write_text(leaderboard.kept_figures([card], file))
    kept = read_figure("leaderboard", tmp_path)
    assert kept.current == (not earlier)
    assert (kept.commit == "a" * 40) == earlier
    assert ("has changed since" in kept.measured()) == earlier


def _section(seeds):
    row = {
        "algo": "a", "label": "A", "mode": "greedy", "seeds": seeds, "difference_to_behaviour": 0.1, "interval": [0, 1],
        "normalized_score": 3.0, "lead_of_first": 0.0, "lead_interval": [0, 0], "wall_s": 1.0, "updates_per_s": 1.0,
        "probability_that_first_is_better": 0.5, "peak_rss_mb": 1.0, "profile": [1.0] * 11,
    }  # fmt: skip
    card = {"dataset": "d", "runs": [{"steps": 3}], "eval_members": 9, "parameters_version": "v0", "curves": []}
    card |= {"dataset_sha256": "1f", "commit": "c", "command": "x", "summary": [row], "references": {}, "failed": []}
    return leaderboard_page._dataset(card)


def test_one_seed_has_no_chance_that_a_run_is_better_and_no_profile():
    one, two = ("\n".join(_section(seeds)) for seeds in (1, 2))
    assert "| - | 1 | 1 | 1 |" in one
    assert "| 0.50 | 1 | 1 | 1 |" in two
    assert "Performance profile" not in one
    assert "Performance profile" in two
    for part in re.split(r"^(?=## )", leaderboard.PAGE.read_text(), flags=re.MULTILINE):
        if re.match(r"## `.+`, 1 seed\n", part):
            table = part.partition("Without a limit:")[2].partition("References:")[0]
            assert {line.split(" | ")[6] for line in table.splitlines() if line[:3].strip("| ").isdigit()} == {"-"}
            assert "Performance profile" not in part


def test_kept_rows_that_were_confirmed_stay_confirmed(tmp_path):
    before = json.loads((FOLDER / "leaderboard.json").read_text())
    programs, without = ["benchmarks.run"], list(leaderboard.NOT_USED)
    later = {
        "commit": "f" * 40, "code": code_key(*programs, without=(*SHOWING, *without)), "programs": programs,
        "without": without, "command": "c", "values": 3,
    }  # fmt: skip
    file = tmp_path / "leaderboard.json"
    file.write_text(json.dumps(before | {"code": "0" * 16, "confirmed": later}))
    file.write_text(leaderboard.kept_figures([], file))
    kept = read_figure("leaderboard", tmp_path)
    assert (kept.current, kept.measured_today) == (True, False)


def test_what_the_sweeps_do_not_ask_leaves_the_figure_as_it_is():
    names = {file.stem for file in code_files("benchmarks.run", without=(*SHOWING, *leaderboard.NOT_USED))}
    assert not {"value_policy", "audits", "measures"} & names
    assert {"runs", "budgets", "true_values", "contacted", "rollout", "algorithm"} < names


def test_each_section_names_the_command_that_made_it():
    text = re.sub(r"\\\n +", "", leaderboard.PAGE.read_text())
    said = re.findall(r"^ +python benchmarks/run\.py (.+) --out FOLDER$", text, flags=re.MULTILINE)
    assert sorted(map(_options, said)) == sorted(map(_options, leaderboard.SWEEPS.values()))


def _options(command):
    """Options and their values, in whatever order."""
    words = shlex.split(command)
    return sorted((name, sorted(value.split(","))) for name, value in zip(words[::2], words[1::2], strict=True))


@pytest.mark.usefixtures("one_thread")
def test_the_leaderboard_shows_what_the_scorecards_say(tiny_dataset, tmp_path):
    out = tmp_path / "out"
    options = "--dataset tests/tiny-v0 --algo discrete_bc --seeds 2 --steps 4 --eval-members 60 --jobs 1"
    sweep.main([*options.split(), "--out", str(out)])
    leaderboard.main([str(out), "-o", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text()
    card = json.loads((out / "scorecard.json").read_text())
    block = next(part for part in page.split("\n\n") if part.startswith("    python"))
    assert max(map(len, block.splitlines())) <= 100
    read = subprocess.run(["bash", "-c", textwrap.dedent(block).replace("python", "echo", 1)], capture_output=True)
    assert read.stdout.decode().strip() == f"{card['command']} --out FOLDER".removeprefix("python "), "a shell reads it"
    assert "--out" not in card["command"]
    for entry in card["summary"]:
        line = next(line for line in page.splitlines() if f"| {entry['label']} | {entry['mode']} | " in line)
        assert f"{entry['difference_to_behaviour']:+.4f} [{entry['interval'][0]:+.4f}" in line
    other = {**card, "dataset": "frl/other-v0"}
    both, twice = (
        leaderboard_page.page([other], page),
        leaderboard_page.page([other], leaderboard_page.page([other], page)),
    )
    assert both == twice, "a section says once that it was kept"
    assert both.count(leaderboard_page.KEPT) == 1
    lost = {*page.split("\n## Settings")[0].splitlines()} - {*both.splitlines()}
    assert not lost, "nothing is lost"
    short = both.partition("## In short")[2].partition("\n## ")[0]
    assert [row.split("`")[1] for row in short.splitlines() if row.startswith("| `")] == [
        card["dataset"],
        "frl/other-v0",
    ]
    assert leaderboard_page.page([card], both).count(leaderboard_page.KEPT) == 1
    assert leaderboard_page.KEPT not in leaderboard_page.page([other], page, changed=False), "of the same code"
    assert leaderboard_page.page([other, card], both) == leaderboard_page.page([card, other])
    with pytest.raises(UserError, match=r"can't read .*nowhere"):
        leaderboard.main([str(tmp_path / "nowhere")])
    (out / "scorecard.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        leaderboard.main([str(out)])
