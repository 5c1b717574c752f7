import json

import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import GroupGap, load_replay_buffer, policy_evaluators, select_policy
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.policies.stock import create_stock
from frl_algos.value_models.selection import target_probabilities
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError
from frl_env.parameters import MEASURES

pytestmark = pytest.mark.usefixtures("one_thread")


def nothing(observations):
    probabilities = np.zeros((len(observations), MEDICAID_ACTIONS.n_joint), dtype=np.float32)
    probabilities[:, MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action)] = 1
    return probabilities


def test_candidates_of_every_kind_are_valued(tiny_buffer, trained):
    stock = create_stock("discrete_cql", batch_size=32, hidden_sizes=(8,))
    stock.fit(tiny_buffer, n_steps=5, n_steps_per_epoch=5, show_progress=False, logger_adapter=NoopAdapterFactory())
    candidates = {
        "algorithm": trained,
        "greedy": LearnedPolicy(trained, MEDICAID_ACTIONS, "greedy"),
        "stock": stock,
        "function": nothing,
    }
    selections = [select_policy(candidates, tiny_buffer, rng=np.random.default_rng(0)) for _ in range(2)]
    assert selections[0] == selections[1], "the same seed, the same choice"
    chosen = selections[0]
    assert {one.name for one in chosen.candidates} == set(candidates)
    table = chosen.table()
    assert table.index[0] == chosen.best
    assert (np.diff(table.difference) <= 0).all()
    assert ((table.difference_low < table.difference) & (table.difference < table.difference_high)).all()
    returns = np.add.reduceat(tiny_buffer.rewards, tiny_buffer.starts)
    np.testing.assert_allclose(chosen.behaviour, returns.mean(), rtol=1e-6)
    np.testing.assert_allclose(table.value - table.difference, returns.mean(), rtol=1e-6)
    lower = select_policy(candidates, tiny_buffer, rng=np.random.default_rng(0), criterion="lower")
    assert lower.table().index[0] == table.difference_low.idxmax()


def test_probabilities_of_a_greedy_policy_are_its_choice(tiny_buffer, trained, observations):
    greedy = target_probabilities(LearnedPolicy(trained, MEDICAID_ACTIONS, "greedy"), MEDICAID_ACTIONS)(observations)
    np.testing.assert_array_equal(greedy.sum(axis=1), 1)
    np.testing.assert_array_equal(greedy.argmax(axis=1), trained.predict(observations))
    drawn = target_probabilities(trained, MEDICAID_ACTIONS)(observations)
    np.testing.assert_array_equal(drawn, trained.predict_probabilities(observations))


def _swapped(space):
    """The same actions with two levels of a factor in each other's place."""
    said = json.loads(space.to_json())
    levels = next(factor for factor in said["factors"] if factor["name"] == "provider")["levels"]
    levels[1], levels[2] = levels[2], levels[1]
    return ActionSpace.from_json(json.dumps(said))


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (
            {"state_names": MEASURES[::-1]},
            "on 7 states and the data have 7; number 1 is num_encounters_last_week there",
        ),
        ({"action_space": _swapped(MEDICAID_ACTIONS)}, r"on other actions \(provider: \.\.\., CHW"),
    ],
)
def test_members_of_other_columns_are_refused(of, words, tiny_dataset, trained):
    """The same names in another order are as many: a policy would be asked for the fourth state about the fifth."""
    buffer = load_replay_buffer(tiny_dataset, groups=["race_ethnicity"])
    for name, value in of.items():
        setattr(buffer, name, value)
    for candidate in (trained, LearnedPolicy(trained, MEDICAID_ACTIONS)):
        with pytest.raises(UserError, match=f"candidate x was trained {words}"):
            select_policy({"x": candidate}, buffer, rng=np.random.default_rng(0))
    evaluators = policy_evaluators(buffer, rng=np.random.default_rng(0), members=20)
    for evaluator in (*evaluators.values(), GroupGap("race_ethnicity", buffer=buffer)):
        with pytest.raises(UserError, match=f"the algorithm was trained {words}"):
            evaluator(trained, None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"candidates": {}}, "no candidate"),
        ({"criterion": "best"}, "unknown criterion"),
        ({"candidates": {"x": 3}}, "int is no policy"),
        ({"candidates": {"x": lambda o: nothing(o)[:, :5]}}, "have shape"),
        ({"candidates": {"x": lambda o: 2 * nothing(o)}}, "don't sum to 1"),
        ({"response": 9}, "observation 9 does not exist"),
    ],
)
def test_mistakes_are_said(wrong, words, tiny_buffer):
    arguments = {"candidates": {"nothing": nothing}, "rng": np.random.default_rng(0)} | wrong
    with pytest.raises(UserError, match=words):
        select_policy(arguments.pop("candidates"), tiny_buffer, **arguments)
