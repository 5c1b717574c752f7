"""Where decisions follow what the observations don't show, nothing but the behaviour policy is to be trusted."""

import d3rlpy
import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.action_effects.indication import effect_of_acting
from frl_algos.action_effects.targets import compute_targets
from frl_env.actions import ActionSpace, Factor

SPACE = ActionSpace(
    factors=(Factor(name="how", levels=("NONE", "CALL", "VISIT")), Factor(name="who", levels=("NONE", "ANN", "BOB"))),
    contact_factors=("how", "who"),
)


def _members(insight, members=700, weeks=8, helps=0.15, seed=0):
    """Contacts help, visits twice as much; how ill a member is only the team sees, and acts on by `insight`."""
    rng = np.random.default_rng(seed)
    ill = rng.normal(size=(members, weeks))
    contact = rng.random((members, weeks)) < 1 / (1 + np.exp(1 - insight * ill))
    how = 1 + (rng.random((members, weeks)) < 1 / (1 + np.exp(-insight * ill)))
    who = rng.integers(1, 3, size=how.shape)
    rewards = -ill + helps * contact * how + 0.3 * rng.normal(size=ill.shape)
    seen = rng.normal(size=(members, weeks + 1, 2)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=seen[:, :-1].reshape(-1, 2),
        actions=np.stack([contact * how, contact * who], axis=-1).reshape(-1, 2),
        rewards=rewards.astype(np.float32).reshape(-1),
        next_observations=seen[:, 1:].reshape(-1, 2),
        lengths=np.full(members, weeks),
        terminated=np.ones(members, bool),
        action_space=SPACE,
    )


def _fit(buffer, **settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(batch_size=128, hidden_size=16, **settings).create()
    algorithm.fit(buffer, n_steps=3, show_progress=False, logger_adapter=NoopAdapterFactory())
    return algorithm


def test_indication_keeps_to_the_behaviour_policy():
    """Visits go to the most ill: by what follows them they look worst, and are best."""
    choice = _fit(_members(insight=1.5)).choice
    assert choice.critic == "none"
    assert "name a response" in str(choice)
    assert choice.runner_up.startswith("effects")


@pytest.mark.long
def test_effects_of_decisions_by_chance_are_followed():
    algorithm = _fit(_members(insight=0.0, members=1_500))
    assert algorithm.choice.critic == "effects"
    visits = algorithm.predict_probabilities(np.zeros((1, 2), np.float32))[0].reshape(SPACE.nvec).sum(axis=1)
    assert visits[2] > 1.5 * visits[1]


def test_what_is_done_always_says_nothing_of_indication():
    """Nothing to compare with: there the contest alone decides."""
    buffer = _members(insight=0.0)
    levels = SPACE.unravel(buffer.actions)
    levels[levels[:, 0] == 0] = 1
    always = FactoredReplayBuffer(
        observations=buffer.observations, actions=levels, rewards=buffer.rewards, lengths=buffer.lengths,
        next_observations=buffer.next_observations, terminated=buffer.terminated, action_space=SPACE,
    )  # fmt: skip
    assert "since its decisions" not in str(_fit(always).choice)


def test_spells_of_a_person_go_together():
    """Each member twice over, as spells of one person: the error of twice as many people would be smaller."""
    buffer = _members(insight=0.5)
    rows = len(buffer.actions)

    def twice(people):
        return FactoredReplayBuffer(
            observations=np.concatenate([buffer.observations] * 2),
            actions=SPACE.unravel(np.concatenate([buffer.actions] * 2)),
            rewards=np.concatenate([buffer.rewards] * 2),
            next_observations=np.concatenate([buffer.next_observations] * 2),
            lengths=np.concatenate([buffer.lengths] * 2),
            terminated=np.concatenate([buffer.terminated] * 2),
            action_space=SPACE,
            people=people,
        )

    members = len(buffer.lengths)
    errors = []
    for people in (np.arange(2 * members), np.tile(np.arange(members), 2)):
        doubled = twice(people)
        targets = compute_targets(doubled, doubled.observations, decay=0.9, response=None)
        errors.append(effect_of_acting(doubled.observations, targets).error)
    assert len(doubled.actions) == 2 * rows
    assert errors[1] == pytest.approx(np.sqrt(2) * errors[0], rel=0.01)
