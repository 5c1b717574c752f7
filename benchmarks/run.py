"""Train algorithms on a dataset, roll them out on the simulator, and print a scorecard with true values.

    python benchmarks/run.py --algo factored_awr

It builds the dataset when it is missing. `--help` lists the options.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    # The imports below take seconds; Ctrl-C must be one line there, too.
    signal.signal(signal.SIGINT, lambda *_: (sys.stderr.write("error: stopped before any work\n"), os._exit(2)))

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import scorecard
from benchmarks.algorithms import ALGORITHMS, Run, save_whole, train_and_score
from benchmarks.command_line import Parser, check_at_least
from benchmarks.evaluation import Evaluation
from frl_algos import load_replay_buffer
from frl_env.cli import progress_bar, run_or_say, write_atomically
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.errors import UserError, unknown_name

DATASET = "frl/medicaid-synthetic-v0"
QUICK_DATASET = "frl/medicaid-synthetic-small-v0"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and runs the benchmark."""
    options = _parser().parse_args(arguments)
    names = list(dict.fromkeys(options.algo.split(",")))
    for name in names:
        if name not in ALGORITHMS:
            raise unknown_name("algorithm", name, ALGORITHMS)
    check_at_least(options, seeds=1, steps=1, eval_members=2)
    dataset_id = options.dataset or (QUICK_DATASET if options.quick else DATASET)
    steps = options.steps or (300 if options.quick else 3_000)
    eval_members = options.eval_members or (1_000 if options.quick else 30_000)
    out = Path(options.out)
    check_dataset(dataset_id)
    check_writable(out)

    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        buffer = load_replay_buffer(dataset)
        evaluation = Evaluation.of_dataset(dataset, members=eval_members)
        references = evaluation.references(progress)
    runs: list[Run] = []
    models = {}
    for name in names:
        for seed in range(options.seeds):
            algorithm, scored = train_and_score(name, seed, steps, buffer, dataset, evaluation)
            models[scored[0].model] = algorithm
            runs += scored
    card = scorecard.assemble(dataset, references, runs, eval_members)
    scorecard.show(card)
    # Models and scorecard belong together: nothing is written before all of it is there.
    for file, algorithm in models.items():
        save_whole(algorithm, out / file)
    write_atomically(out / "scorecard.json", json.dumps(card, indent=2, allow_nan=False) + "\n")
    print(f"\nscorecard: {out / 'scorecard.json'}")


def check_writable(folder: Path) -> None:
    """Makes the results folder and writes into it once, before any long work.

    Raises:
        UserError: If that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise UserError(f"can't write to {folder} ({problem.strerror}); choose another folder with --out") from problem


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Train on a dataset, score on the simulator.")
    parser.add_argument("--algo", default="factored_awr", help=f"one or several, by comma: {', '.join(ALGORITHMS)}")
    parser.add_argument("--dataset", help=f"Minari id (default {DATASET})")
    parser.add_argument("--seeds", type=int, default=1, help="training seeds 0..N-1 (default 1)")
    parser.add_argument("--steps", type=int, help="updates a run (default 3000)")
    parser.add_argument("--eval-members", type=int, help="members of every rollout (default 30000)")
    parser.add_argument("--out", default="results", help="folder for scorecard and models (default results)")
    parser.add_argument("--quick", action="store_true", help="a smoke test in under a minute: small dataset, few steps")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_or_say(main)
