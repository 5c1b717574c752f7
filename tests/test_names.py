"""Every name in the code is defined: lint leaves this out, since shapes of arrays are strings that look like names."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def undefined(folder: Path, *places: str) -> list[str]:
    """Names that nothing defines, outside of strings, with their file and line."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "json"]
    found = subprocess.run([*command, *places], cwd=folder, capture_output=True, text=True, check=False)
    names = []
    for problem in json.loads(found.stdout):
        file, at = Path(problem["filename"]), problem["location"]
        before = file.read_text().splitlines()[at["row"] - 1][: at["column"] - 1]
        if before.count('"') % 2 == 0:
            names.append(f"{file.name}, line {at['row']}: {problem['message']}")
    return names


def test_every_name_is_defined():
    assert undefined(ROOT, "frl_env", "frl_algos", "benchmarks", "tests", "packaging") == []


def test_a_name_that_is_not_is_found_and_a_shape_is_none(tmp_path):
    (tmp_path / "module.py").write_text(
        'from jaxtyping import Float\n\n\ndef of(x: Float["member k"]) -> Float["member"]:\n    return sums(x)\n'
    )
    assert undefined(tmp_path, ".") == ["module.py, line 5: Undefined name `sums`"]
