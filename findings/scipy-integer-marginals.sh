#!/usr/bin/env bash
# scipy 1.17.1: `linprog` with `integrality` (HiGHS) succeeds and gives marginals as for a linear program, all of them 0,
# where whole numbers have none. Read as what they are named, they say that another hour of staff is worth nothing.
#
# Seen:      contacts of 2 and 1 hours gain 3 and 2; with 2 hours: whole contacts gain 3, marginal of an hour 0;
#            parts allowed: marginal 1.5; with 3 hours: whole contacts gain 5
# For us:    prices of staff minutes are those of the relaxed problem (`frl_env/capacity/prices.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W error - <<'PYTHON'
from scipy.optimize import linprog


def best(hours, whole):
    """Gain of the best contacts, and what linprog says of another hour."""
    found = linprog([-3, -2], A_ub=[[2, 1]], b_ub=[hours], bounds=(0, 1), integrality=int(whole))
    assert found.success
    return abs(found.fun), abs(found.ineqlin.marginals[0])


gain, hour = best(2, whole=True)
_, relaxed = best(2, whole=False)
more, _ = best(3, whole=True)
print(f"contacts of 2 and 1 hours gain 3 and 2; with 2 hours: whole contacts gain {gain:g}, marginal of an hour {hour:g};")
print(f"parts allowed: marginal {relaxed:g}; with 3 hours: whole contacts gain {more:g}")
raise SystemExit(0 if (gain, hour, relaxed, more) == (3, 0, 1.5, 5) else 1)
PYTHON
