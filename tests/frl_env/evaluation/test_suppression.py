"""No small cell, nor anything it follows from: checked against what a linear programme can work out."""

import numpy as np
import pytest
from scipy.optimize import linprog

from frl_env.evaluation.privacy.suppression import (
    SMALLEST,
    hidden_groups,
    hidden_levels,
    hide,
    part_of,
    people,
    rests_on_few,
    share,
)


def bounds(counts, hidden, rows, columns, cells):
    """Least and largest sum of some hidden cells that all published numbers allow."""
    unknown = np.argwhere(hidden)
    lines = [np.ones(counts.shape, dtype=bool)]
    for axis, totals in ((0, rows), (1, columns)):
        for index in np.flatnonzero(totals):
            line = np.zeros(counts.shape, dtype=bool)
            line[(index, slice(None)) if axis == 0 else (slice(None), index)] = True
            lines.append(line)
    equations = np.array([[line[tuple(cell)] for cell in unknown] for line in lines], dtype=float)
    totals = np.array([counts[line & hidden].sum() for line in lines], dtype=float)
    objective = np.array([cells[tuple(cell)] for cell in unknown], dtype=float)
    found = [linprog(sign * objective, A_eq=equations, b_eq=totals, method="highs").fun * sign for sign in (1, -1)]
    return found[0], found[1]


def check(counts, rows, columns, **options):
    hidden = hide(counts, row_totals=rows, column_totals=columns, **options)
    small = (counts > 0) & (counts < SMALLEST)
    assert not (small & ~hidden).any()
    if (hidden == (counts > 0)).all():
        return hidden  # then not even the names are shown
    for cell in np.argwhere(small):
        only = np.zeros(counts.shape, dtype=bool)
        only[tuple(cell)] = True
        low, high = bounds(counts, hidden, rows, columns, only)
        assert high - low > 0.5, (counts, hidden, cell)
    for line in [hidden & (np.arange(len(counts)) == i)[:, None] for i in np.flatnonzero(rows)]:
        assert counts[line].sum() == 0 or counts[line].sum() >= SMALLEST
    return hidden


def test_the_example_of_the_page():
    counts = np.array([[7, 413], [96, 804]])
    assert check(counts, np.ones(2, bool), np.ones(2, bool)).all()


def test_nothing_small_nothing_hidden():
    counts = np.array([[11, 413, 0], [96, 804, 50]])
    assert not check(counts, np.ones(2, bool), np.ones(3, bool)).any()


def test_one_row_hides_the_next_smallest_until_their_sum_is_large_enough():
    one, none = np.ones(1, bool), np.zeros(4, bool)
    assert check(np.array([[5, 40, 900, 300]]), one, none).tolist() == [[True, True, False, False]]
    assert check(np.array([[3, 4, 900, 300]]), one, none).tolist() == [[True, True, False, True]]
    assert check(np.array([[3, 8, 900, 300]]), one, none).tolist() == [[True, True, False, False]]


def test_tables_at_random_give_nothing_away():
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(60):
        counts = rng.poisson(rng.choice([4, 12, 40, 200], size=(4, 5)) * rng.integers(0, 2, size=(4, 5)))
        hidden = check(counts, np.ones(4, bool), np.ones(5, bool))
        shown += ((counts > 0) & ~hidden).sum()
    assert shown > 60  # and not by hiding everything


def test_a_bridge_between_two_rings_of_hidden_cells_is_not_left_open():
    # Two hidden 2 x 2 blocks, and between them one cell: every line has at least two hidden cells, and still the cell
    # in the middle is what is left of the totals of one block.
    counts = np.full((4, 4), 500)
    counts[:2, :2] = counts[2:, 2:] = 9
    counts[1, 2] = 5
    check(counts, np.ones(4, bool), np.ones(4, bool))


def test_cells_of_a_group_with_a_hidden_total_do_not_add_up_to_it():
    race = np.repeat(["A", "B", "C", "D"], [5, 40, 900, 300])
    sex = np.tile(["F", "M"], 1245 // 2 + 1)[:1245]
    hidden = hidden_groups({"race": race, "sex": sex}, [("race", "sex")])
    assert hidden[("race",)] == {"A", "B"}
    assert hidden[("sex",)] == set()
    assert hidden["race", "sex"] == {"A, F", "A, M", "B, F", "B, M"}


def test_two_groups_of_which_one_is_small_are_both_hidden():
    assert hidden_groups({"sex": np.repeat(["F", "M"], [995, 5])})[("sex",)] == {"F", "M"}


@pytest.mark.parametrize(
    ("number", "simulated", "said"), [(7, False, "fewer than 11"), (7, True, "7"), (0, False, "0")]
)
def test_small_numbers_are_not_said(number, simulated, said):
    assert people(number, simulated=simulated) == said
    assert people(1_100, simulated=False) == "1,100"


def test_levels_are_hidden_by_people_and_not_by_rows():
    person = np.concatenate([np.repeat(np.arange(6), 30), np.repeat(np.arange(6), 20), np.arange(100), np.arange(200)])
    level = np.repeat([0, 1, 2, 3], [180, 120, 100, 200])
    hidden = hidden_levels(person, level, 5)
    # The first two have 300 rows of the same 6 people: their rest would tell of 6, so that a third one goes.
    assert hidden.tolist() == [True, True, True, False, False]
    assert hidden_levels(person, level, 5, total=False).tolist() == [True, True, False, False, False]
    assert hidden_levels(person, level, 5, keep=[2]).tolist() == [True, True, False, True, False]
    assert not hidden_levels(person[level > 1], level[level > 1], 5).any()


def test_one_hidden_level_is_never_alone():
    person, level = np.concatenate([np.arange(20), np.arange(90)]), np.repeat([0, 1], [20, 90])
    assert hidden_levels(person, level, 2, also=[0]).tolist() == [True, True]


def test_a_mean_that_few_people_make_up_is_noticed():
    few, many = np.zeros(100), np.zeros(100)
    few[:4], many[:40] = 3.0, 3.0
    assert rests_on_few(few)
    assert not rests_on_few(many)
    assert not rests_on_few(np.zeros(100))
    assert rests_on_few(1.0 - few / 3)  # all but 4 have 1
    assert not rests_on_few(np.linspace(0.1, 0.9, 100))


def test_a_part_of_the_members_differs_by_nobody_or_by_enough():
    for whole in range(4_990, 5_040):
        looked_at = part_of(whole, 5_000)
        assert looked_at <= 5_000
        assert whole - looked_at == 0 or whole - looked_at >= SMALLEST


def test_shares_of_few_are_not_told():
    assert share(0.123456, 400, simulated=False) == 0.12
    assert share(0.02, 400, simulated=False) is None
    assert share(0.02, 400, simulated=True) == 0.02
