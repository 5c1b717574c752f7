"""A table of simulated members as a data scientist would bring one, made without the code that is tested."""

import numpy as np
import pandas as pd
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Episodes, collect
from frl_env.parameters import AGE_BANDS, GENDERS, MEASURES, RACES, preset

MEMBERS, WEEKS = 30, 12


@pytest.fixture(scope="session")
def simulated() -> Episodes:
    return collect(preset(), members=MEMBERS, seed=3, horizon=WEEKS)


@pytest.fixture(scope="session")
def whole_table(simulated) -> pd.DataFrame:
    """Every column of the schema but the 30-day outcomes; `table_of` for other episodes."""
    return table_of(simulated)


def table_of(episodes: Episodes) -> pd.DataFrame:
    mask = episodes.mask
    week = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)[mask]
    member = np.repeat(np.arange(len(episodes)), episodes.lengths)
    columns = {"member_id": member + 1000, "week": week}
    columns |= {name: episodes.observations[:, :-1][mask][:, i] for i, name in enumerate(MEASURES)}
    names = MEDICAID_ACTIONS.decode(episodes.actions[mask])
    columns |= {f"action_{factor.name}": names[:, i] for i, factor in enumerate(MEDICAID_ACTIONS)}
    columns["reward"] = episodes.rewards[mask]
    columns["terminated"] = (week == episodes.lengths[member] - 1) & episodes.terminated[member]
    columns["propensity"] = episodes.information["propensity"][:, 1:][mask][:, 0]
    for i, factor in enumerate(MEDICAID_ACTIONS):
        columns[f"propensity_{factor.name}"] = episodes.information["factor_propensities"][:, 1:][mask][:, i]
    for name, groups in (("age_band", AGE_BANDS), ("gender", GENDERS), ("race_ethnicity", RACES)):
        columns[name] = np.asarray(groups, dtype=object)[episodes.information[name][:, :-1][mask][:, 0]]
    columns |= {f"next_{name}": episodes.observations[:, 1:][mask][:, i] for i, name in enumerate(MEASURES)}
    return pd.DataFrame(columns)


@pytest.fixture
def table(whole_table) -> pd.DataFrame:
    return whole_table.copy()


@pytest.fixture
def plain_table(table) -> pd.DataFrame:
    """States, actions, rewards and nothing else."""
    return table[[name for name in table if not name.startswith(("next_", "propensity"))]].drop(
        columns=["terminated", "age_band", "gender", "race_ethnicity"]
    )


@pytest.fixture
def outcome_table(simulated, plain_table) -> pd.DataFrame:
    """The published schema: outcomes of 30 days instead of rewards; a window is 28 days here."""
    return with_outcomes(plain_table.drop(columns="reward"), simulated)


def with_outcomes(table: pd.DataFrame, episodes: Episodes) -> pd.DataFrame:
    for name, key in (("future_ed_30d", "ed_visits"), ("future_ip_30d", "ip_stays")):
        events = episodes.information[key][:, 1:, 0].astype(float)
        events[~episodes.mask] = 0
        padded = np.pad(events, ((0, 0), (0, 4)))
        windows = sum(padded[:, k : k + events.shape[1]] for k in range(4))
        table[name] = np.asarray(windows)[episodes.mask]
    return table
