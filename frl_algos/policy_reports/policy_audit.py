"""Fairness audit of a trained policy on logged members: who would get how much, and what it is worth to them.

    audit_fairness("policy.safetensors", "frl/medicaid-synthetic-validation-v0", "audit")

`frl_env.evaluation.fairness.audit` says what is measured. Here a policy is asked for its exact probabilities in every
logged state, and valued off-policy, member by member (`frl_algos.value_models.counterfactual`). What is true in the
simulator is measured by `python benchmarks/studies/fairness_frontier.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_algos.model_files.policy_files import high_touch_of, load_policy, told_by
from frl_algos.value_models.allocations import Progress, member_allocations, recorded_use, silent
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.selection import target_probabilities
from frl_env.evaluation import LoggedEpisodes, load_episodes
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.evaluation.dataset_reading.member_records import ATTRIBUTES, load_members, load_people
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH
from frl_env.evaluation.fairness.audit import AuditedMembers, FairnessAudit, audit
from frl_env.evaluation.fairness.files import write_audit
from frl_env.evaluation.threads import numpy_alone
from frl_env.members import ColumnMap, ImportOptions, open_members


def audit_fairness(
    policy_path: str | os.PathLike[str] | None,
    data_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    columns: ColumnMap | None = None,
    options: ImportOptions | None = None,
    attributes: Sequence[str] = ATTRIBUTES,
    needs: Sequence[str] | None = None,
    high_touch: Sequence[str] | None = None,
    minimum: int = 30,
    value: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> FairnessAudit:
    """Audits a policy on the logged members of a dataset, and writes tables, JSON and figures.

    Args:
        policy_path: A `.safetensors` file of `frl_algos.save_model`, or d3rlpy's `.d3`, which is a pickle: open one
            only if you trust where it comes from. None for the logged decisions themselves.
        data_path: Id of a Minari dataset, best of members that the policy was not trained on; or a Parquet, CSV or
            Arrow table of them in the schema of `docs/own_data.md`, or a folder of such.
        output_dir: Where the files go; see `frl_env.evaluation.fairness.files`.
        columns: What the table's columns mean, where they have other names.
        options: What to do about the table's problems.
        attributes: Infos of the dataset to make groups of.
        needs: Infos of the dataset that measure need, the one that counts first; by default the number of `open_needs`
            where it has them. Recorded utilisation follows where it is observed.
        high_touch: Levels of any factor that count as high-touch contact; by default what the dataset says.
        minimum: Members that a group needs to be measured.
        value: Whether to value the policy off-policy, which takes longer than all else.
        seed: Of folds, resamples and permutations.
        progress: Told how far it is.

    Returns:
        What was written, as a typed result.

    Raises:
        UserError: If a file or dataset is missing or does not fit, or nothing can be compared.
    """
    tell = progress or silent
    with open_members(data_path, columns=columns, options=options, progress=progress) as dataset:
        names = state_names_of(dataset)
        algorithm = None if policy_path is None else load_policy(policy_path, action_space_of(dataset), names)
        tell("reading", 0, 1)
        records = load_members(dataset, attributes=attributes, needs=needs).of(load_people(dataset))
        episodes = replace(load_episodes(dataset), groups=records.labels)
        response, indications = told_by(algorithm, dataset)
        levels = high_touch_of(dataset) if high_touch is None else high_touch
        tell("reading", 1, 1)
    result = audit_policy(
        algorithm,
        episodes,
        needs=records.needs | recorded_use(episodes, names),
        simulated=records.simulated,
        rng=np.random.default_rng(seed),
        high_touch=levels,
        minimum=minimum,
        value=value,
        response=response,
        indications=indications,
        progress=tell,
    )
    write_audit(result, output_dir)
    return result


def audit_policy(
    policy: Any,
    episodes: LoggedEpisodes,
    *,
    needs: Mapping[str, Float64[np.ndarray, "episode"]],
    simulated: bool,
    rng: np.random.Generator,
    high_touch: Sequence[str] = HIGH_TOUCH,
    minimum: int = 30,
    value: bool = True,
    response: int | None = None,
    indications: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FairnessAudit:
    """The same for a policy and logged members in memory, without any file.

    Args:
        policy: As `frl_algos.select_policy` takes a candidate; None for the logged decisions themselves.
        episodes: Their `groups` are the attributes.
        needs: By name, one number an episode; the first one counts.
        simulated: Whether they are simulated. Only then are small cells shown.
        rng: Source of folds, resamples and permutations.
        high_touch: Levels of any factor that count as high-touch contact.
        minimum: Members that a group needs to be measured.
        value: Whether to value the policy off-policy.
        response: Index of the observation whose next value is positive when an action got a response; see
            `Counterfactual.fit`.
        indications: Level name to the index of an observation that indicates it.
        progress: Told how far it is.
        options: Others of `frl_env.evaluation.fairness.audit.audit`.

    Raises:
        UserError: If the policy does not fit, or nothing can be compared.
    """
    tell = progress or silent
    space = episodes.action_space
    target = None if policy is None else target_probabilities(policy, space)
    allocations, logged = member_allocations(target, episodes, high_touch, tell)
    values = behaviour = weights = None
    source = ""
    if target is None:
        values, source = episodes.returns(), "mean returns as logged"
    else:
        if episodes.propensities is not None:
            weights = _member_weights(episodes, logged)
        if value:
            tell("valuing", 0, 1)
            valuation = Counterfactual.fit(episodes, rng=rng, response=response, indications=indications)
            estimate = valuation.estimate(target, rng)
            values, behaviour = estimate.plain, valuation.returns
            source = f"off-policy estimates ({estimate.name}); the change is against the returns as logged"
            tell("valuing", 1, 1)
    tell("comparing groups", 0, 1)
    result = audit(
        AuditedMembers(
            high_touch=allocations.pop("high_touch"),
            attributes=episodes.groups,
            needs=needs,
            allocations=allocations,
            values=values,
            behaviour_values=behaviour,
            weeks=None if values is None else episodes.lengths.astype(np.float64),
            weights=weights,
            simulated=simulated,
            value_source=source,
        ),
        rng=rng,
        minimum=minimum,
        **options,
    )
    tell("comparing groups", 1, 1)
    return result


@numpy_alone()
def _member_weights(episodes: LoggedEpisodes, logged: np.ndarray) -> Float64[np.ndarray, "member"]:
    """Mean over its weeks of each member's importance weight, as `frl_env.evaluation.diagnose` takes it."""
    assert episodes.propensities is not None
    with np.errstate(divide="ignore"):
        log_ratios = np.log(episodes.padded("probabilities", logged, 1.0) / episodes.propensities)
    log_weights = np.where(episodes.mask, np.cumsum(log_ratios, axis=1), -np.inf)
    # Over the largest, so that squares of huge weights are numbers; none where no first decision was the policy's.
    largest = max(float(log_weights.max()), np.finfo(np.float64).min)
    return np.exp(log_weights - largest).sum(axis=1) / episodes.lengths
