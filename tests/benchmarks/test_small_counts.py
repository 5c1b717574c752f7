"""Counts of 1 to 10 real people can't be worked out from what a run leaves behind: an attack on all of its files."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from attack import Published, Rows, Truth, attack

from benchmarks import report, run
from frl_algos.policy_reports.policy_audit import audit_fairness
from frl_algos.policy_reports.policy_evaluation import evaluate_policy
from frl_env.cli import app
from frl_env.datasets import Recipe, build_dataset, ensure_dataset, export_table
from frl_env.datasets.table_import.checking.partition import shares
from frl_env.errors import UserError
from frl_env.evaluation import action_space_of, load_episodes
from frl_env.event_export import export_events
from frl_env.parameters import AGE_BANDS, RACES

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "tests/few-v0"

MAP = """
[effort.modality]
PHONE_CALL = 15
SMS_TEXT = 2
VIDEO_VISIT = 30
HOME_VISIT = 75
EHR_COMMUNICATION = 5
"""

GROUPS = ("X", "MALE", "FEMALE", *RACES, *AGE_BANDS)


def table(folder, members, seed):
    """Recorded members, with a rare group, levels that few got (some of them often), and a few leaving each week."""
    made = Recipe(dataset_id="tests/to-be-few-v0", description="for tests", members=members, seed=seed, horizon=12)
    export_table(build_dataset(made, force=True), folder / "out.parquet", force=True)
    rows = pd.read_parquet(folder / "out.parquet")
    rng = np.random.default_rng(seed)
    ids = rng.permutation(rows["member_id"].unique())
    rows["gender"] = np.where(rows["member_id"].isin(ids[: members // 8]), "X", "FEMALE")
    rows.loc[rows["member_id"].isin(ids[: members // 2]) & (rows["gender"] != "X"), "gender"] = "MALE"
    often = rows["member_id"].isin(ids[-8:]) & (rows["week"] % 2 == 0)
    contact = ["HOME_VISIT", "PHARMACIST", "DENTAL", "URGENT"]
    for name, level in zip(("modality", "provider", "goal", "urgency"), contact, strict=True):
        rows.loc[(rows[f"action_{name}"] == level) & ~often, f"action_{name}"] = {
            "HOME_VISIT": "PHONE_CALL", "PHARMACIST": "CHW", "DENTAL": "CARE", "URGENT": "ROUTINE",
        }[level]  # fmt: skip
        rows.loc[often, f"action_{name}"] = level
    last = dict(zip(ids, rng.integers(6, 13, len(ids)), strict=True))
    rows = rows[rows["week"] < rows["member_id"].map(last)]
    drop = [each for each in rows.columns if each.startswith(("propensity", "next_"))]
    rows.drop(columns=[*drop, "terminated"], errors="ignore").to_parquet(folder / "own.parquet", index=False)
    return folder / "own.parquet"


def events(folder, members, seed):
    """Raw events of members who may be real, for all that the spec says."""
    made = Recipe(dataset_id="tests/to-be-events-v0", description="for tests", members=members, seed=seed, horizon=16)
    export_events(made, folder / "events")
    spec = folder / "events" / "spec.toml"
    spec.write_text(spec.read_text().replace("simulated = true", ""))
    return spec


def printed(*arguments):
    found = CliRunner().invoke(app, [*map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found.output


def leave_behind(folder, capsys, *, members, seed, algorithms="factored_awr"):
    """All files of import, run, report, evaluation, audit, worklists and weeks, and what these print."""
    file = table(folder, members, seed)
    (folder / "map.toml").write_text(MAP)
    imported = ["import", file, "--map", folder / "map.toml", "--validation-share", 0.5]
    told = {"import": printed(*imported, "--id", NAME, "--force")}
    told["check"] = printed(*imported, "--id", "tests/few-checked-v0", "--check")
    out = folder / "results"
    run.main([
        "--dataset", NAME, "--algo", algorithms, "--steps", "5", "--jobs", "1", "--ope", "--out", str(out),
    ])  # fmt: skip
    report.main([str(out), "-o", str(folder / "report.html")])
    model = next(out.glob("factored_awr*.d3"))
    validation = "tests/few-validation-v0"
    evaluate_policy(model, validation, folder / "evaluation")
    try:
        audit_fairness(model, validation, folder / "audit", minimum=11)
    except UserError as problem:  # too few to be audited
        told["audit"] = str(problem)
    for week in (3, 4):
        told[f"worklist {week}"] = printed(
            "worklist", "--model", model, "--members", file, "--map", folder / "map.toml", "--week", week,
            "--capacity", "2.0", "-o", folder / f"list-{week}.csv",
        )  # fmt: skip
    if find_spec("ibis"):
        told["weeks"] = printed("weeks", events(folder, members, seed), "--check", "--report", folder / "weeks.html")
    told["printed"] = capsys.readouterr().out
    metadata = folder / "metadata"
    metadata.mkdir(exist_ok=True)
    for name in (NAME, validation):
        kept = ensure_dataset(name).storage.metadata
        facts = {key: value for key, value in kept.items() if key.startswith("frl_import")}
        (metadata / f"{name.replace('/', '-')}.json").write_text(json.dumps(facts, default=str))
    places = [out, folder / "report.html", folder / "report.md"]
    places += [folder / each for each in ("report-data", "evaluation", "audit", "metadata")]
    return Published.of(*places, *folder.glob("weeks.html"), told=told)


def got_of(joints, space):
    """Rows of each level, of all decisions; and of contacts."""
    levels = space.joint_levels[joints]
    contact = joints != int(space.ravel(space.null_action))
    return contact, {
        factor.name: {level: levels[:, k] == code for code, level in enumerate(factor.levels)}
        for k, factor in enumerate(space)
    }


def truths():
    """What few people got: shares of all decisions, on the validation members; contacts, on those of training."""
    found = []
    for name, contacts in (("tests/few-validation-v0", False), (NAME, True)):
        episodes = load_episodes(ensure_dataset(name))
        space = action_space_of(ensure_dataset(name))
        person = np.repeat(np.arange(len(episodes)), episodes.lengths)
        joints = episodes.actions[episodes.mask]
        contact, got = got_of(joints, space)
        chosen = contact if contacts else np.ones(len(joints), dtype=bool)
        found.append(
            Truth(
                factors={
                    f: {x: frozenset(person[rows & chosen].tolist()) for x, rows in each.items()}
                    for f, each in got.items()
                },
                rows={f: {x: int((rows & chosen).sum()) for x, rows in each.items()} for f, each in got.items()},
                decisions=len(joints),
                members=len(episodes),
            )
        )
    return found


def parts(folder):
    """The whole table, all rows that became decisions, and those of either part."""
    rows = pd.read_parquet(folder / "own.parquet").sort_values(["member_id", "week"]).reset_index(drop=True)
    space = action_space_of(ensure_dataset(NAME))
    joints = space.ravel(space.encode(rows[[f"action_{factor.name}" for factor in space]].to_numpy(dtype=object)))
    contact, got = got_of(joints, space)
    decided = rows["member_id"].eq(rows["member_id"].shift(-1)).to_numpy()
    trained = shares(pa.array(rows["member_id"].astype(str))) >= 0.5
    assert (decided & trained).sum() == ensure_dataset(NAME).total_steps
    made = {"all rows": contact, "all decisions": contact & decided, "training": contact & decided & trained,
            "validation": contact & decided & ~trained}  # fmt: skip
    whole = {"all rows": len(rows), "all decisions": int(decided.sum()), "training": int((decided & trained).sum()),
             "validation": int((decided & ~trained).sum())}  # fmt: skip
    person = rows["member_id"].to_numpy()
    levels = {"contacts": contact} | {level: own for each in got.values() for level, own in each.items()}
    return [
        Rows(
            name=name,
            rows=whole[name],
            persons={
                level: {int(row): int(person[row]) for row in np.flatnonzero(own & chosen)}
                for level, own in levels.items()
            },
        )
        for name, chosen in made.items()
    ]


@pytest.mark.long
def test_no_small_count_can_be_worked_out(tmp_path, capsys):
    published = leave_behind(tmp_path, capsys, members=90, seed=1)
    known = truths()
    few = [len(who) for truth in known for each in truth.factors.values() for who in each.values()]
    assert sum(0 < n < 11 for n in few) >= 4
    assert len(published.numbers) > 1_000
    leaks = attack(published, *known, groups=GROUPS, parts=parts(tmp_path))
    assert not leaks, "\n".join(leaks)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("members", "seed"), [(70, 0), (120, 2), (240, 3)])
def test_the_same_of_more_tables(members, seed, tmp_path, capsys):
    published = leave_behind(tmp_path, capsys, members=members, seed=seed, algorithms="factored_awr,discrete_bc")
    leaks = attack(published, *truths(), groups=GROUPS, parts=parts(tmp_path))
    assert not leaks, "\n".join(leaks)


def _leaks(folder, *truth, **files):
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return attack(Published.of(folder), *truth, groups=("F", "M", "X"), parts=PARTS)


PEOPLE = {"A": frozenset(range(80)), "B": frozenset(range(4)), "C": frozenset(range(2, 8)), "D": frozenset(range(50))}
TRUTH = Truth(
    factors={"kind": PEOPLE}, rows={"kind": {"A": 700, "B": 40, "C": 60, "D": 200}}, decisions=1_000, members=90
)
PARTS = [
    Rows(name="all", rows=1_100, persons={"A": {row: row % 80 for row in range(750)}}),
    Rows(name="decided", rows=1_000, persons={"A": {row: row % 80 for row in range(700)}}),
    Rows(name="most", rows=900, persons={"A": {row: row % 80 for row in range(6, 750)}}),
]
"""Of the last rows fifty people have A, of the rest of the third part six."""


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("direct", {"a__json": {"ope": [{"weights": {"members": 3.37}}]}}),
        ("direct", {"a__json": {"weights": {"cumulative": {"by_week": [40.0, 12.0, 4.0]}}}}),
        ("direct", {"a__csv": "estimator,members\nWIS,3.37\n"}),
        ("direct", {"a__json": {"groups": {"gender": {"X": 4}}}}),
        ("text", {"a__json": {"sentence": "No headline (SNM): 3.8 of 32 members carry the weight."}}),
        ("text", {"a__md": "imported tests/x: 5 members, 40 steps"}),
        ("groups", {"a__json": {"members": 60, "groups": {"gender": {"F": 30, "M": 25}}}}),
        ("overlap", {"a__json": {"groups": {"gender": {"F": 30}}}, "b__json": {"groups": {"gender": {"F": 26}}}}),
        ("weeks", {"a__json": {"followed": [60, 58, 51, 40]}}),
        ("quotient", {
            "a__json": {"weights": {"by_week": [30.0, 29.0, 17.0]}},
            "b__json": {"weights": {"by_week": [0.5, 0.5, 0.3333333]}},
        }),
        ("share", {"a__csv": "factor,level,policy,care team\nkind,A,.5,.7\nkind,B,.1,.04\n"}),
        ("mean", {"a__json": {"seen": 0.06666666666666667}}),
        ("mean", {"a__json": {"seen": 0.9888888888888889}}),
        ("difference", {"a__txt": "A 750, B not told", "b__json": {"A": {"contacts_per_week": 0.8266666667}}}),
        ("rest", {"a__csv": "factor,level,policy,care team\nkind,A,.5,.7\nkind,D,.1,.2\n"}),
    ],
)  # fmt: skip
def test_the_attack_finds_what_leaks(kind, files, tmp_path):
    leaks = _leaks(tmp_path, TRUTH, **files)
    assert any(leak.startswith(f"{kind}: ") for leak in leaks), leaks


def test_the_attack_lets_pass_what_does_not(tmp_path):
    files = {
        "a__csv": "factor,level,policy,care team\nkind,A,.5,.7\nkind,B,.1,\nkind,C,.1,\nkind,D,.01,\n",
        "a__txt": "contacts: A about 740, B not told",
        "b__json": {"members": 60, "groups": {"gender": {"F": 30}}, "followed": [60, 60, 49],
                    "weights": {"by_week": [1.0, 0.53, 0.41]}, "seen": 0.07, "mean": 0.2333333333333333,
                    "A": {"contacts_per_week": 0.8266666667},
                    "sentence": "fewer than 11 of 60 members carry the weight (at least 100)"},
    }  # fmt: skip
    assert not _leaks(tmp_path, TRUTH, **files)
