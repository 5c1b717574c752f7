"""What a trained policy is worth by other members' logged weeks alone: the scorecard's `ope`.

On data without a simulator that is all there is. Where there is a simulator it stands beside the truth, to be judged.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.policy_scoring import audits
from benchmarks.policy_scoring.validation_members import SEED, episodes_of, kept_while_unchanged, propensities_of
from benchmarks.training.column_roles import Told, told_of
from frl_algos.policies.policy import LearnedPolicy, has_probabilities
from frl_algos.value_models.counterfactual import Counterfactual, check_members
from frl_algos.value_models.histories import Histories
from frl_algos.value_models.policy_sensitivity import policy_sensitivity
from frl_algos.value_models.value_policy import value_policy
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.datasets.ids import parse_id
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.trained_on import check_actions, check_states

MOVED = 500
"""Members at most on whom it is asked what the estimate hangs on: every setting is an evaluation of its own."""


def validation_dataset(dataset_id: str, asked: str | None) -> str:
    """Id of the dataset whose members value the policies.

    Args:
        dataset_id: What is trained on.
        asked: By the user; None looks for the dataset that `frl import --validation-share` or a recipe put beside it.

    Raises:
        UserError: If there is none.
    """
    found = str(parse_id(dataset_id).validation) if asked is None else asked
    try:
        check_dataset(found)
    except UserError as problem:
        if asked is not None:
            raise
        raise UserError(
            f"no dataset of other members to value policies on ({found!r} does not exist); "
            "import with --validation-share 0.3, make it as the first was made, or name one with --validation"
        ) from problem
    if found == dataset_id:
        raise UserError("--validation names the training data; policies are valued on members they were not trained on")
    return found


def check_valuable(training: Any, validation_id: str, said: str) -> None:
    """Says before any training that policies can't be valued on these members.

    Args:
        training: The `minari.MinariDataset` that policies are trained on.
        validation_id: Minari id of the logged members.
        said: What options say of the columns; see `benchmarks.training.column_roles`.

    Raises:
        UserError: If their actions or states are others, or in another order, there are too few members, too few of
            their attempts got a response, or the actions don't fit.
    """
    validation, policy = ensure_dataset(validation_id), f"a policy of {training.spec.dataset_id}"
    try:
        check_actions(policy, action_space_of(training), action_space_of(validation))
        check_states(policy, state_names_of(training), state_names_of(validation))
        known = told_of(validation, said)
        check_members(Histories.of(episodes_of(validation_id)), known.response)
    except UserError as problem:
        raise UserError(f"policies can't be valued on {validation_id!r}: {problem}") from None


def estimate(
    algorithm: Any, mode: str, validation_id: str, *, said: str = "{}", fairness: bool = False
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Every estimator's value of a policy, and an audit, JSON-able; nothing in it is about a single member.

    Args:
        algorithm: Trained, on other members.
        mode: Of `frl_algos.policies.policy.LearnedPolicy`.
        validation_id: Minari id of the logged members.
        said: What options say of the columns; see `benchmarks.training.column_roles`.
        fairness: Whether to audit; None in the place of the audit otherwise.
    """
    if mode == "stochastic" and not has_probabilities(algorithm):
        why = "draws of this policy have no probabilities over joint actions."
        return {"sentence": f"No estimate: {why}"}, {"sentence": f"Not audited: {why}"} if fairness else None
    episodes, valuation, known = _valuation(validation_id, said)
    target: Callable[[np.ndarray], np.ndarray] = LearnedPolicy(algorithm, episodes.action_space, mode).probabilities
    report = value_policy(
        target,
        episodes,
        seed=SEED,
        valuation=valuation,
        indications=known.indications,
        propensities=propensities_of(validation_id),
    )
    section = None
    if fairness:
        values = valuation.estimate(target, np.random.default_rng(SEED)).plain
        section = audits.of_logged(
            target, episodes, validation_id, values, valuation.returns, high_touch=known.meaning.high_touch
        )
    if not report.told:
        return {"sentence": report.sentence}, section
    moves = policy_sensitivity(
        target,
        episodes,
        seed=SEED,
        indications=known.indications,
        propensities=propensities_of(validation_id) if episodes.propensities is None else None,
        members=MOVED,
    )
    found = {"dataset": validation_id, "sensitivity": None if moves is None else _without_people(moves.to_dict())}
    return found | report.to_dict(), section


def _without_people(moves: dict[str, Any]) -> dict[str, Any]:
    """A table of sensitivity without effective members, which may be few."""
    return moves | {"rows": [{k: v for k, v in row.items() if k != "members"} for row in moves["rows"]]}


@kept_while_unchanged
def _valuation(validation_id: str, said: str) -> tuple[LoggedEpisodes, Counterfactual, Told]:
    """Logged members and the model of what actions do to them, the same for every policy of a worker."""
    episodes, known = episodes_of(validation_id), told_of(ensure_dataset(validation_id), said)
    valuation = Counterfactual.fit(
        episodes, rng=np.random.default_rng(SEED), response=known.response, indications=known.indications
    )
    return episodes, valuation, known
