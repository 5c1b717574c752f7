"""Fills the model of a member from logged data, in closed form, a part of the episodes at a time.

1. **Forecast.** What is ahead of a member (`cross_fitted_forecast`).
2. **Answers.** Whether a contact is answered (`answer_chance`).
3. **Shares.** Which share of what is ahead an answered contact prevents (`share_regression`), weighed by whom an
   action suits (`frl_algos.action_effects.suitability`).

Forecast and answers are fitted on at most `MOST_EPISODES` episodes, drawn by the buffer's seed; the shares on all, in
parts of `PART` episodes, so that memory does not grow with the data.
"""

import numpy as np
from jaxtyping import Float, Int

from frl_algos.action_effects.suitability import column, suitability
from frl_algos.action_effects.terms import CAUTIOUS_SCALES, Terms, null_position
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.scaled_rows import numbers_of, shared_range
from frl_algos.member_model.answer_chance import AnswerChance
from frl_algos.member_model.cross_fitted_forecast import CrossFittedForecast
from frl_algos.member_model.logged_weeks import WeekSource
from frl_algos.member_model.model import MemberModel
from frl_algos.member_model.share_regression import ShareRegression
from frl_env.evaluation.threads import one_ahead

MOST_EPISODES = 10_000
PART = 2_000


def estimate_member_model(
    model: MemberModel,
    buffer: FactoredReplayBuffer,
    *,
    decay: float,
    minutes: Float[np.ndarray, "valid"],
    indications: dict[str, int],
    need: str | None,
    skill: str | None,
) -> None:
    """Fills a model in place.

    Args:
        model: To be filled; its layout says which observation is the response.
        buffer: The data. Rewards must all be of one sign.
        decay: Credit a step.
        minutes: Staff minutes of each valid action.
        indications: Level name to the observation that indicates it.
        need: Factor whose levels answer to needs; None for none.
        skill: Factor whose levels differ in what they are able to do; None for none.
    """
    source = WeekSource(model.layout, buffer, decay)
    rng = np.random.default_rng(buffer.seed)
    drawn = np.sort(rng.permutation(len(buffer.lengths))[:MOST_EPISODES])
    sample = source.rows(drawn)
    rate = float(sample.events.sum() / sample.weeks.sum())
    terms = Terms.of_space(
        buffer.action_space, buffer.observations.shape[1], indications=indications, scales=CAUTIOUS_SCALES
    )
    everybody = np.repeat(source.people.astype(np.int32), buffer.lengths)
    low, high = shared_range(buffer.observations, everybody, terms.indicated.any(axis=0))
    # Where credit does not fall, it counts the weeks that an episode has left.
    window = 1 / (1 - decay) if decay < 1 else float(sample.weeks.mean())
    model.take(
        usual=source.usual, chosen=source.chosen, window=window, decay=decay, unit=rate,
        nothing=null_position(buffer.action_space), low=low, high=high,
    )  # fmt: skip
    forecast = CrossFittedForecast.fit(sample)
    model.take(
        center=forecast.center, scale=forecast.scale, forecast=forecast.weights[2], knots=forecast.knots,
        bend=forecast.bend,
    )  # fmt: skip
    levels = buffer.action_space.joint_levels[buffer.action_space.valid_joints]
    lead = levels[:, 0]
    answers = AnswerChance.fit(sample, lead)
    del sample
    model.take(answer=answers.weights[:3], fading=answers.fading, answer_levels=answers.weights[3:], lead=lead)
    if need is not None:
        model.take(need=levels[:, column(buffer.action_space, need)])
    acted = numbers_of(buffer.actions != source.null)
    positions = source.position[buffer.actions[acted]]
    dose = minutes / max(float(minutes[positions].mean()), 1e-12)
    people = source.people[np.searchsorted(buffer.starts, acted, side="right") - 1]
    suited = suitability(buffer.action_space, positions, people, need=need, skill=skill)
    source.release()
    shares = ShareRegression(
        terms, dose, signs_of=(np.asarray(model.low), np.asarray(model.high)), sign=source.sign,
        divided=_in_several(source.people, PART),
    )  # fmt: skip
    made = (
        source.rows(np.arange(start, min(start + PART, len(buffer.lengths))))
        for start in range(0, len(buffer.lengths), PART)
    )
    for part in one_ahead(made):
        shares.add(part, forecast.weekly(part) * part.weeks, answers.chance(part, lead))
    base, added, known_to = shares.solve(terms.told_apart(suited.told))
    suits = np.where(base > 0, suited.needs * suited.skills, 1.0)
    skilled = np.where(added > 0, suited.skills, 1.0)
    model.take(
        share=np.where(base > 0, base * suited.needs * suited.skills, base),
        share_covariance=known_to * [suits**2, suits * skilled, skilled**2],
        similar=shares.similar(buffer.action_space, need, simulated=buffer.simulated),
    )
    if model.indicates:
        model.take(indicated=terms.indicated.T, indicated_share=(terms.indicated * (added * skilled)[:, None]).T)


def _in_several(people: Int[np.ndarray, "episode"], size: int) -> Int[np.ndarray, "person"]:
    """People whose episodes are in more than one part of so many consecutive episodes."""
    persons, first = np.unique(people, return_index=True)
    last = len(people) - 1 - np.unique(people[::-1], return_index=True)[1]
    return persons[first // size != last // size]
