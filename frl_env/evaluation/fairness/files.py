"""A fairness audit as files: tables for a spreadsheet, JSON for a program, figures for a reader.

    audit.json        everything
    groups.csv        one row a group and measure
    gaps.csv          largest less smallest group, by attribute and measure
    contrasts.csv     differences between groups with intervals and tests
    calibration.csv   need by probability of high-touch contact
    *.svg             figures

What must not be shown is not in the audit, and so in none of them.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from frl_env.evaluation.fairness.fairness_plots import figures
from frl_env.evaluation.fairness.result import FairnessAudit
from frl_env.evaluation.files import write_together
from frl_env.files.spreadsheets import plain_cells

OPTIONAL = ("allocation.svg", "calibration.svg")
"""Figures for which there may be nothing to draw."""


def write_audit(audit: FairnessAudit, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes all files of an audit; each is whole or as it was before.

    Args:
        audit: What to write.
        folder: Where to; made when missing.

    Returns:
        The files.

    Raises:
        UserError: If the folder can't be made or written.
    """
    tables = {
        "groups.csv": audit.table(),
        "gaps.csv": pd.DataFrame([asdict(gap) for gap in audit.gaps]),
        "contrasts.csv": pd.DataFrame([asdict(contrast) for contrast in audit.contrasts]),
        "calibration.csv": pd.DataFrame([asdict(point) for point in audit.calibration]),
    }
    contents = {name: plain_cells(table).to_csv(index=False).encode() for name, table in tables.items()}
    contents["audit.json"] = (json.dumps(audit.to_dict(), indent=1, allow_nan=False) + "\n").encode()
    contents |= figures(audit)
    return write_together(folder, contents, optional=OPTIONAL)
