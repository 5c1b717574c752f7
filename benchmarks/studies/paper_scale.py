"""The published run at its size: 50 epochs in batches of 256 over some five million weeks, on a CPU.

    make paper-scale                                             or: python benchmarks/studies/paper_scale.py
    python benchmarks/studies/paper_scale.py --algo seed_awr     the published algorithm instead

An epoch is as many updates as the dataset has batches. What was learned is kept after every epoch: the same command
goes on where a stopped one was, and ends with the same policy as one that was never stopped. Then the policy is rolled
out on the simulator, and time, samples a second, memory and true value stand beside what was published.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command_line import check_writable
from benchmarks.policy_scoring.true_values import Evaluation, paired_difference
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.run_key import content_of_dataset
from benchmarks.result_records.study import Study, Tell
from benchmarks.training.awr_lines import factored_awr, seed_awr
from benchmarks.training.train import forget_peak_rss, peak_rss_mb
from frl_algos import FactoredAWR, FactoredReplayBuffer, load_replay_buffer, save_model
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.threads import training_threads
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.dataset_facts import state_names_of
from frl_env.reference_returns import reference_policies
from frl_env.rollout import standard_error
from frl_env.terminal import progress_bar, run_or_say, write_atomically

DATASET = "frl/medicaid-synthetic-large-v0"
BATCH_SIZE, EPOCHS = 256, 50
"""As published."""

PUBLISHED = {"rows": 4_999_070, "hours": 3.5, "samples_per_s": 50 * 4_999_070 / (3.5 * 3600), "cores": 16}
"""Basu et al. (2025): steps, hours and cores of its training; samples a second follow."""

ALGORITHMS = ("factored_awr", "seed_awr")

RESULTS = Kept("benchmarks.studies.paper_scale")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--algo", choices=ALGORITHMS, default="factored_awr", help="(default factored_awr)")
    parser.add_argument("--dataset", default=DATASET, help=f"(default {DATASET})")


@dataclasses.dataclass
class Progress:
    """How far a training is.

    Attributes:
        epochs: Done.
        prepare_s: Seconds that estimating effects and scales took, each time it was begun.
        epoch_s: Seconds of each epoch.
        losses: Mean cloning loss of each epoch.
        peak_mb: Largest memory so far, in MB (10**6 bytes).
    """

    epochs: int = 0
    prepare_s: float = 0.0
    epoch_s: list[float] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    peak_mb: float = 0.0


STUDY = Study(
    RESULTS,
    "The published run at its size.",
    {
        "epochs": (EPOCHS, 1, "passes over the data"),
        "batch_size": (BATCH_SIZE, 1, "rows an update"),
        "eval_members": (30_000, 2, "of the true values"),
        "threads": (1, 1, "of torch"),
        "seed": (0, 0, "of everything drawn"),
    },
    _more,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is missing, and shows what it came to."""
    options = STUDY.options(arguments)
    check_dataset(options.dataset)
    out = options.out
    check_writable(out)
    torch.set_num_threads(options.threads)
    with progress_bar() as progress:
        dataset = ensure_dataset(options.dataset, progress=progress)
        content = content_of_dataset(dataset)
        buffer = load_replay_buffer(dataset)
        forget_peak_rss()
        with training_threads(options.threads):
            algorithm, state = _train(dataset, content, buffer, options, out, progress)
        file = out / f"{options.algo}.safetensors"
        save_model(algorithm, file)
        values = _true_values(dataset, algorithm, options.eval_members, progress)
    facts = _facts(buffer, options, state) | {"values": values, "model": file.name}
    write_atomically(out / "summary.json", json.dumps(facts, indent=1) + "\n")
    STUDY.tell(
        _rows(facts),
        {"": "{what}", "here": "{said}", "published": "{published}"},
        options,
        part="" if options.algo == "factored_awr" else options.algo,
        title=f"{facts['algo']} on {facts['dataset']}",
        caption="In brackets: standard errors. Simulated members; not to guide care.",
        data={options.dataset: content},
    )


def _train(
    dataset: Any, content: str, buffer: FactoredReplayBuffer, options: argparse.Namespace, out: Path, tell: Tell
) -> tuple[FactoredAWR, Progress]:
    """The algorithm after all epochs, and what they took; begins after the last epoch that is kept."""
    names = state_names_of(dataset)
    made = seed_awr() if options.algo == "seed_awr" else factored_awr(names, buffer.action_space)
    config = dataclasses.replace(made, batch_size=options.batch_size)
    facts = {"data": content, "seed": options.seed, "settings": config.serialize(), "threads": options.threads}
    kept = RESULTS.file(out, options.algo, ".pt", **facts)
    algorithm = config.create()
    torch.manual_seed(options.seed)
    tell("estimating effects", 0, 1)
    started = time.perf_counter()
    algorithm.build_with_dataset(buffer)
    assert algorithm.impl is not None
    prepared = time.perf_counter() - started
    tell("estimating effects", 1, 1)
    state = _restore(algorithm, kept)
    state.prepare_s += prepared
    an_epoch = -(-buffer.transition_count // options.batch_size)
    algorithm.impl.log_policy(after=0, every=an_epoch)
    total = an_epoch * options.epochs
    for epoch in range(state.epochs, options.epochs):
        # From here on everything follows from the seed and the number of the epoch.
        torch.manual_seed(options.seed * 100_003 + epoch)
        buffer.reseed(options.seed * 100_003 + epoch)
        started, losses = time.perf_counter(), 0.0
        for update in range(an_epoch):
            losses += algorithm.update(buffer.sample_transition_batch(options.batch_size))["clone_loss"]
            if update % 50 == 0:
                tell("training", epoch * an_epoch + update, total)
        state.epochs = epoch + 1
        state.epoch_s.append(time.perf_counter() - started)
        state.losses.append(losses / an_epoch)
        state.peak_mb = max(state.peak_mb, peak_rss_mb())
        _keep(algorithm, state, kept)
        tell("training", state.epochs * an_epoch, total)
    algorithm.impl.calibrate()
    return algorithm, state


def _keep(algorithm: FactoredAWR, state: Progress, file: Path) -> None:
    """Writes all that training goes on from, whole or not at all."""
    assert algorithm.impl is not None
    modules = algorithm.impl.modules
    aside = file.with_name(f".{file.name}.writing")
    try:
        torch.save(
            {
                "modules": {name: module.state_dict() for name, module in modules.get_torch_modules().items()},
                "optimiser": modules.optim.optim.state_dict(),
                "updates": algorithm.grad_step,
                "progress": dataclasses.asdict(state),
            },
            aside,
        )
        aside.replace(file)
    except (OSError, RuntimeError) as problem:
        raise UserError(f"can't write {file} ({problem}); free space or choose another folder with --out") from problem
    finally:
        aside.unlink(missing_ok=True)


def _restore(algorithm: FactoredAWR, file: Path) -> Progress:
    """Takes up what was kept, if anything was."""
    assert algorithm.impl is not None
    modules = algorithm.impl.modules
    try:
        kept = torch.load(file, weights_only=True)
        for name, module in modules.get_torch_modules().items():
            module.load_state_dict(kept["modules"][name])
        modules.optim.optim.load_state_dict(kept["optimiser"])
        algorithm.set_grad_step(int(kept["updates"]))
        return Progress(**kept["progress"])
    except FileNotFoundError:
        return Progress()
    except Exception as problem:
        raise UserError(f"{file} is damaged ({type(problem).__name__}); delete it to start anew") from problem


def _true_values(dataset: Any, algorithm: FactoredAWR, members: int, tell: Tell) -> dict[str, dict[str, float]]:
    """True values of the policy and of what it stands between."""
    evaluation = Evaluation.of_dataset(dataset, members=members)
    references = reference_policies(evaluation.world)
    found = {}
    behaviour = evaluation.score(references["behaviour"], lambda week, weeks: tell("scoring behaviour", week, weeks))
    found["behaviour"] = behaviour
    for name in ("no_program", "best_observation_only"):
        if name in references:
            found[name] = evaluation.score(references[name], lambda w, weeks, n=name: tell(f"scoring {n}", w, weeks))
    for mode in ("stochastic", "greedy"):
        policy = LearnedPolicy(algorithm, algorithm.action_space, mode)
        found[mode] = evaluation.score_decisions(policy, lambda w, weeks, m=mode: tell(f"scoring {m}", w, weeks))
    rows = {}
    for name, returns in found.items():
        change, error = paired_difference(returns, behaviour)
        value = float(np.mean(returns.value))
        rows[name] = {
            "value": value, "standard_error": standard_error(returns.value), "change": change, "change_error": error
        }  # fmt: skip
    return rows


def _facts(buffer: FactoredReplayBuffer, options: argparse.Namespace, state: Progress) -> dict[str, Any]:
    """What the training took, JSON-able."""
    seconds = sum(state.epoch_s)
    updates = -(-buffer.transition_count // options.batch_size) * state.epochs
    return {
        "algo": options.algo,
        "dataset": options.dataset,
        "rows": buffer.transition_count,
        "epochs": state.epochs,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "updates": updates,
        "prepare_s": state.prepare_s,
        "training_s": seconds,
        "updates_per_s": updates / seconds,
        "samples_per_s": updates * options.batch_size / seconds,
        "peak_mb": state.peak_mb,
        "losses": state.losses,
        "eval_members": options.eval_members,
        "published": PUBLISHED,
    }


def _rows(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a fact: the number, how it is said, and what was published of it."""
    published = facts["published"]
    hours, minutes = facts["training_s"] / 3600, facts["prepare_s"] / 60
    lines = [
        ("rows", facts["rows"], f"{facts['rows']:,}", f"{published['rows']:,}"),
        ("epochs, batch", facts["epochs"], f"{facts['epochs']}, {facts['batch_size']}", f"{EPOCHS}, {BATCH_SIZE}"),
        ("hours of training", hours, f"{hours:.2f}", f"{published['hours']}"),
        ("before it, minutes", minutes, f"{minutes:.1f}", None),
        ("samples/s", facts["samples_per_s"], f"{facts['samples_per_s']:,.0f}", f"{published['samples_per_s']:,.0f}"),
        ("threads or cores", facts["threads"], f"{facts['threads']}", f"{published['cores']}"),
        ("peak memory, GB", facts["peak_mb"] / 1e3, f"{facts['peak_mb'] / 1e3:.1f}", None),
    ]
    rows = [{"what": what, "number": number, "said": said, "published": by} for what, number, said, by in lines]
    for name, row in facts["values"].items():
        change = "" if name == "behaviour" else f", {row['change']:+.4f} ({row['change_error']:.4f}) to behaviour"
        said = f"{row['value']:.4f} ({row['standard_error']:.4f}){change}"
        rows.append(
            {"what": f"true value, {name}", "number": row["value"], "said": said, "published": None}
            | {"change": row["change"], "change_error": row["change_error"]}
        )
    return rows


if __name__ == "__main__":
    run_or_say(main)
