import gymnasium
import numpy as np
import pytest

from frl_env import MEDICAID_ACTIONS, MedicaidCareEnv, UserError
from frl_env.parameters import TIERS

VISIT = MEDICAID_ACTIONS.encode(("HOME_VISIT", "PHARMACIST", "MEDICATION_ADHERENCE", "URGENT"))


def _played(weeks=5, **options):
    env = MedicaidCareEnv(**options)
    env.reset(seed=8)
    for _ in range(weeks):
        env.step(VISIT)
    return env


def test_a_week_as_text_says_what_was_seen_done_and_what_happened():
    env = _played(render_mode="ansi", screening=1.0)
    text = env.render()
    assert text.startswith("week 5 ")
    assert "urgent home visit by pharmacist about medication adherence" in text
    for word in ("seen", "happened", "ED visits", "screened:", "days enrolled"):
        assert word in text
    env.step(MEDICAID_ACTIONS.null_action)
    assert "no contact" in env.render()


def test_past_contacts_are_no_results_of_a_screening():
    """The observation has four numbers more, and nobody was screened."""
    text = _played(render_mode="ansi", past_contacts=True).render()
    assert "screened" not in text
    assert text.endswith("visit 1, call never, message never; with an attempt: 5 of the last 8 weeks")
    both = _played(render_mode="ansi", past_contacts=True, screening=1.0).render()
    assert "; screened: " in both
    assert both.endswith("visit 1, call never, message never; with an attempt: 5 of the last 8 weeks")


def test_what_is_latent_is_shown_only_when_asked_for():
    hidden, shown = (_played(render_mode="ansi", reveal=reveal).render() for reveal in (False, True))
    assert shown.startswith(hidden)
    assert not any(word in hidden for word in ("latent", "acuity", *(f"{tier.lower()} risk" for tier in TIERS)))
    for word in ("latent", "acuity", "support", "fatigue", "needs"):
        assert word in shown


@pytest.mark.long
@pytest.mark.parametrize("reveal", [False, True])
def test_a_year_as_a_figure(reveal):
    env = _played(20, render_mode="rgb_array", reveal=reveal)
    image = env.render()
    assert image.shape == (480, 880, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20, "an empty figure"
    before = image.copy()
    for _ in range(10):
        env.step(VISIT)
    assert not np.array_equal(env.render(), before)


def test_the_first_week_renders_and_nothing_before_it():
    for mode in ("ansi", "rgb_array"):
        env = MedicaidCareEnv(render_mode=mode)
        with pytest.raises(gymnasium.error.ResetNeeded, match="call reset before render"):
            env.render()
        env.reset(seed=0)
        assert env.render() is not None
    assert MedicaidCareEnv().render() is None
    with pytest.raises(UserError, match="unknown render mode 'human'"):
        MedicaidCareEnv(render_mode="human")
