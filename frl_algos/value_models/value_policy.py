"""Every estimator of a policy's value, on logged members: what a team without a simulator goes by."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from frl_algos.policies.policy import Probabilities
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.evaluation import Evaluation, LoggedEpisodes, evaluate
from frl_env.evaluation.threads import numpy_alone


@numpy_alone()
def value_policy(
    target: Probabilities,
    episodes: LoggedEpisodes,
    *,
    seed: int = 0,
    valuation: Counterfactual | None = None,
    response: int | None = None,
    indications: Mapping[str, int] | None = None,
    propensities: Any = None,
    shown: Callable[[Float32[np.ndarray, "some_rows joint"]], None] | None = None,
) -> Evaluation:
    """Runs the nested model, fitted Q evaluation and all of `frl_env.evaluation` on one policy.

    Args:
        target: The policy.
        episodes: Members on which it was not trained.
        seed: Of folds, draws and resamples; the same seed makes policies comparable.
        valuation: Fitted on these members already.
        response: Of the nested model, where it is to be fitted; see `Counterfactual.fit`.
        indications: Of the same, and of fitted Q evaluation.
        propensities: As `evaluate` takes them; None for the logged ones, or estimated ones where none are logged.
        shown: Called with the policy's probabilities at every logged decision, some at a time; see
            `fitted_q_evaluation`.

    Returns:
        The values. The nested model's is the headline where a response is known that behaves like one
        (`frl_algos.value_models.response_check`): without one it is as biased as anything that compares actions given
        the record alone, the headline is that of `evaluate`, and the sentence says why.

    Raises:
        UserError: If policy and members don't fit, or there are too few.
    """
    if valuation is None:
        valuation = Counterfactual.fit(
            episodes, rng=np.random.default_rng(seed), response=response, indications=indications
        )
    if propensities is None:
        propensities = "estimated" if episodes.propensities is None else "logged"
    nested = valuation.estimate(target, np.random.default_rng(seed))
    rows = valuation.model.rows
    fitted = fitted_q_evaluation(
        rows if rows.episodes is episodes else episodes,
        target,
        rng=np.random.default_rng(seed),
        indications=indications,
        shown=shown,
    )
    doubt = valuation.response_doubt or valuation.support_doubt(nested)
    del valuation, rows  # with many members its rows take as much memory as what follows
    return evaluate(
        episodes,
        fitted.scores,
        rng=np.random.default_rng(seed),
        q_values=fitted.values,
        propensities=propensities,
        others=[nested, fitted.estimate],
        headline=None if doubt else nested.name,
        passed_over=f"{nested.name} is not the headline: {doubt}" if doubt else "",
    )
