"""Fine-tuning FactoredAWR in an environment: act for a while, then fit again to all episodes so far.

d3rlpy updates from single transitions while an episode runs. The effects are a closed form over whole episodes, so here
an epoch collects steps with the policy as it is, then refits to offline and online episodes together. The clone follows
the mixture of all policies that acted, and the policy improves on it, as in the online form of AWR (Peng et al., 2019).
"""

from collections.abc import Callable, Mapping
from inspect import signature
from math import ceil
from typing import Any

import torch
from d3rlpy.base import save_config
from d3rlpy.logging import D3RLPyLogger, FileAdapterFactory, LoggerAdapterFactory
from d3rlpy.metrics import evaluate_qlearning_with_environment
from tqdm.auto import trange

from frl_algos.input_checks import check_updates
from frl_algos.logged_data.collection import Collector
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole, unknown_name


def fine_tune(
    algo: Any,
    env: Any,
    offline: FactoredReplayBuffer | None,
    refit: Callable[[FactoredReplayBuffer], Any],
    *,
    n_steps: int = 100_000,
    n_steps_per_epoch: int = 10_000,
    n_updates: int | None = None,
    eval_env: Any = None,
    eval_n_trials: int = 10,
    save_interval: int = 1,
    experiment_name: str = "FactoredAWR_online",
    with_timestamp: bool = True,
    logger_adapter: LoggerAdapterFactory | None = None,
    show_progress: bool = True,
    callback: Callable[[Any, int, int], None] | None = None,
) -> None:
    """Acts and refits in turn; repeatable after `d3rlpy.seed`.

    It acts with `sample_action`, or at random until the first refit of an algorithm that was never fitted. What d3rlpy
    has for single transitions has no counterpart, nor has `explorer`: it would choose invalid actions.

    Args:
        algo: A FactoredAWR, to train.
        env: Takes joint indices; wrap it in `frl_env.JointActions`.
        offline: Episodes to learn from as well, usually those the algorithm was fitted to.
        refit: Takes a dataset in place of the one the algorithm had.
        n_steps: Steps in the environment; after the last one it is refitted, too.
        n_steps_per_epoch: Steps between two refits; lowered to `n_steps` when that is smaller.
        n_updates: Updates of the clone at each refit; as many as there are steps an epoch when None.
        eval_env: To evaluate the greedy policy in after every epoch; None leaves it.
        eval_n_trials: Episodes of that.
        save_interval: Epochs between two saved models.
        experiment_name: Name of the log.
        with_timestamp: Whether the time is added to it.
        logger_adapter: Where it goes; to files when None.
        show_progress: Whether to show a bar.
        callback: Called with algorithm, number of whole epochs and step after every step.

    Raises:
        UserError: If environment, buffer and algorithm don't have the same actions, no episode ended in time, or steps,
            updates or epochs are no whole number from 1.
    """
    check_updates(n_steps, n_steps_per_epoch)
    check_whole("save_interval", save_interval, low=1, high=2**31)
    n_steps_per_epoch = min(n_steps, n_steps_per_epoch)
    updates = n_steps_per_epoch if n_updates is None else n_updates
    check_whole("n_updates", updates, low=1, high=2**31)
    space = _action_space(algo, env, offline)
    if at_random := algo.impl is None:
        algo.config.action_schema = space.to_json()
        algo.create_impl(env.observation_space.shape, space.n_joint)
    log = D3RLPyLogger(algo, logger_adapter or FileAdapterFactory(), experiment_name, n_steps_per_epoch, with_timestamp)
    save_config(algo, log)  # type: ignore[arg-type] - as d3rlpy's own algorithms call it
    collector = Collector(env, space)
    seed = int(torch.randint(2**31 - 1, ()))
    for step in trange(1, n_steps + 1, disable=not show_progress):
        epoch = ceil(step / n_steps_per_epoch)
        choices = space.valid_joints if at_random else algo.sample_action(collector.observation[None])
        total = collector.step(int(choices[int(torch.randint(len(choices), ()))]))
        if total is not None:
            log.add_metric("rollout_return", total)
        if step % n_steps_per_epoch == 0 or step == n_steps:
            buffer = collector.buffer(offline, seed + epoch)
            if buffer is None:
                raise UserError(f"no episode ended within {step} steps; raise n_steps_per_epoch")
            with log.measure_time("refit"):
                # Networks that acted at random are made anew: only then may any critic be chosen.
                (algo.build_with_dataset if at_random else refit)(buffer)
                assert algo.impl is not None
                algo.impl.log_policy(after=algo.grad_step, every=updates)
                for _ in range(updates):
                    for name, value in algo.update(buffer.sample_transition_batch(algo.batch_size)).items():
                        log.add_metric(name, value)
            at_random = False
            if eval_env is not None:
                log.add_metric("evaluation", evaluate_qlearning_with_environment(algo, eval_env, eval_n_trials))
            if epoch % save_interval == 0:
                log.save_model(step, algo)
            log.commit(epoch, step)
        if callback is not None:
            callback(algo, step // n_steps_per_epoch, step)
    log.close()


def check_options(options: Mapping[str, Any]) -> None:
    """Refuses options of d3rlpy's `fit_online` that have no counterpart here.

    Raises:
        UserError: If there is one; says why.
    """
    known = [name for name, each in signature(fine_tune).parameters.items() if each.kind is each.KEYWORD_ONLY]
    if "explorer" in options:
        raise UserError(
            "fit_online takes no explorer: it would choose actions that are not valid; FactoredAWR draws from its own "
            "policy, so leave explorer out"
        )
    for name in options:
        if name not in known:
            raise unknown_name("option of fit_online:", name, known)


def _action_space(algo: Any, env: Any, offline: FactoredReplayBuffer | None) -> ActionSpace:
    """The actions of the environment, once algorithm and buffer agree."""
    space = env.get_wrapper_attr("factors") if env.has_wrapper_attr("factors") else None
    if algo.config.action_schema:
        space = algo.action_space
    if not isinstance(space, ActionSpace) or getattr(env.action_space, "n", None) != space.n_joint:
        raise UserError(
            f"the environment takes {env.action_space}, not joint actions of {space}; wrap it in frl_env.JointActions"
        )
    if offline is not None and offline.action_space != space:
        raise UserError(f"the algorithm was made for {space}, the offline buffer has {offline.action_space}")
    return space
