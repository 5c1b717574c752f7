"""What each contact gains with each member, as one file that runs without this project: ONNX or TorchScript.

    observations   (n, k) float32, of the week, raw units
    memory         (n, m) float32, of each member, before the week; see below
    joints         (n,) int64, joint index of what is done this week
    gains          (n, joint) float32: reward gained over doing nothing; 0 for doing nothing, minus infinity for what
                   is not valid, while a member rests, and where `contacts` are named for all but the one in turn
    next_memory    (n, m) float32: the memory after the week

Gains don't depend on `joints`. So a week is two calls: one with any joints, for the gains; with these and the minutes
of each action somebody decides within the staff there is; and one with what was done, for the memory. The text
`frl_memory` in the file is the memory of a member of whom nothing is known, a JSON list of m numbers, and `frl_minutes`
the staff minutes of each joint action; `frl_action_schema` and `frl_state_names` say what the joint actions and the k
observations are (`frl_algos.model_files.export`). Any n will do. A row with NaN or an infinite number has NaN gains,
and its memory stays; an action that is not valid makes a memory of NaN.

Source: the formulas of `frl_algos.member_model.model` and `frl_algos.member_model.memory`, whose results these are.
"""

import copy
import json
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.factored_awr.algorithm import FactoredAWR
from frl_algos.logged_data.signed_logarithm import squash_tensor
from frl_algos.member_model.memory import FADINGS, LONG_AGO, NEED_FADING, PRIOR_WEEKS
from frl_algos.member_model.model import AGAIN, MOST
from frl_algos.model_files.frozen import chosen_format, file_content
from frl_algos.model_files.saving import write_whole
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError


def export_gains(algorithm: FactoredAWR, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Writes the gains and the memory of a trained algorithm, whole or not at all.

    Args:
        algorithm: Trained, with a response and staff minutes; it stays as it is.
        path: Where to.
        format: "onnx" (needs the extra 'export') or "torchscript"; by the suffix, `.onnx` or `.pt`, when None.

    Raises:
        UserError: If the format is unknown, a package is missing, the algorithm offers no gains or is of another kind,
            or the file can't be written.
    """
    file = Path(path)
    chosen = chosen_format(file, format)
    if not isinstance(algorithm, FactoredAWR):
        raise UserError(f"export_gains takes FactoredAWR, not {type(algorithm).__name__}")
    write_whole(file, file_content(ExportedGains(algorithm), chosen))


class ExportedGains(nn.Module):
    """The model of a member in operations that both formats have, apart from the algorithm.

    Args:
        algorithm: Trained; its numbers are copied to the processor.

    Attributes:
        columns: Position of each joint action among the valid ones; past the end where it is not valid.
        chosen_places, rated_places: Observations that the forecast looks at, and those of which rates are made.
        turns: Positions of the only contacts that may be made, in turn; empty for all.

    Raises:
        UserError: If it offers no gains.
    """

    columns: Tensor
    chosen_places: Tensor
    rated_places: Tensor
    turns: Tensor

    def __init__(self, algorithm: FactoredAWR) -> None:
        """Copies what it needs."""
        super().__init__()
        self.model = copy.deepcopy(algorithm._member_model())
        layout, space = self.model.layout, algorithm.action_space
        self.size, self.response, self.needs = layout.size, layout.response, layout.needs
        self.rest, self.fading = int(algorithm.config.rest), int(self.model.fading)
        self.several_needs = bool(self.model.need.max() != self.model.need.min())
        self.most = float(np.log(MOST * max(float(self.model.unit), 1e-12)))
        valid = torch.as_tensor(space.valid_joints)
        columns = torch.full((space.n_joint,), len(valid))
        columns[valid] = torch.arange(len(valid))
        chosen = self.model.chosen.cpu()
        turns = algorithm._contacts()
        numbers = {
            "columns": columns,
            "chosen_places": torch.nonzero(chosen)[:, 0],
            "rated_places": torch.nonzero(chosen & (self.model.usual.cpu() > 0))[:, 0],
            "turns": torch.as_tensor(np.empty(0, np.int64) if turns is None else turns),
        }
        for name, value in numbers.items():
            self.register_buffer(name, value.clone())
        self.turn_count = len(self.turns)
        start = self.model.start_memory(2)
        effort = Effort.from_json(algorithm.config.effort, space)
        self.inputs = {
            "observations": torch.zeros(2, self.size),
            "memory": torch.as_tensor(start),
            "joints": torch.full((2,), int(space.ravel(space.null_action))),
        }
        self.outputs = ("gains", "next_memory")
        self.metadata: dict[str, str] = {
            "frl_format_version": "1",
            "frl_action_schema": space.to_json(),
            "frl_state_names": json.dumps(algorithm.config.state_names),
            "frl_memory": json.dumps(start[0].tolist()),
            "frl_minutes": json.dumps(effort.minutes.tolist()),
        }
        self.cpu().eval().requires_grad_(False)

    def forward(
        self, observations: Float[Tensor, "batch k"], memory: Float[Tensor, "batch m"], joints: Int[Tensor, "batch"]
    ) -> tuple[Float[Tensor, "batch joint"], Float[Tensor, "batch m"]]:
        """Gains of all joint actions, and the memory after the week."""
        finite = torch.isfinite(observations).all(dim=1, keepdim=True)
        x = torch.where(finite, observations, torch.zeros_like(observations))
        squashed = squash_tensor(x)
        # A memory is: for each fading sums of observations, their weight, and attempts; needs met; five numbers.
        width = self.size + 2
        sums = [fading * memory[:, i * width : i * width + self.size] + squashed for i, fading in enumerate(FADINGS)]
        weights = [fading * memory[:, i * width + self.size, None] + 1 for i, fading in enumerate(FADINGS)]
        loads = [memory[:, i * width + self.size + 1, None] for i in range(len(FADINGS))]
        last, attempts, answers, since_attempt, since_answer = memory[:, -5:].unsqueeze(2).unbind(1)
        answered = (last > 0) & (x[:, self.response, None] > 0)
        levels = torch.arange(1, self.needs + 1)
        met = memory[:, len(FADINGS) * width : len(FADINGS) * width + self.needs]
        met = met + (answered & (last == levels)).float()
        answers = answers + answered.float()
        since_answer = torch.where(answered, 1.0, torch.clamp(since_answer + 1, max=LONG_AGO))

        load = loads[self.fading]
        gains = self._gains(x, sums, weights, load, met, attempts, answers, since_attempt, since_answer)
        everything = torch.cat([gains, torch.full_like(gains[:, :1], -torch.inf)], dim=1)[:, self.columns]

        places = self.columns[joints.clamp(0, len(self.columns) - 1)]
        # An action that is not valid makes a memory of NaN instead of a wrong one.
        known = (joints >= 0) & (joints < len(self.columns)) & (places < gains.shape[1])
        places = torch.where(known, places, self.model.nothing)
        attempted = (places != self.model.nothing)[:, None].float()
        parts: list[Tensor] = []
        for i, fading in enumerate(FADINGS):
            parts += [sums[i], weights[i], fading * (loads[i] + attempted)]
        about = (self.model.need[places][:, None] + 1).float() * attempted
        rested = torch.where(attempted > 0, 1.0, torch.clamp(since_attempt + 1, max=LONG_AGO))
        after = torch.cat(
            [*parts, met * NEED_FADING, about, attempts + attempted, answers, rested, since_answer], dim=1
        )
        after = torch.where(known[:, None], after, torch.nan)
        return torch.where(finite, everything, torch.nan), torch.where(finite, after, memory)

    def _gains(
        self,
        x: Tensor,
        sums: list[Tensor],
        weights: list[Tensor],
        load: Tensor,
        met: Tensor,
        attempts: Tensor,
        answers: Tensor,
        since_attempt: Tensor,
        since_answer: Tensor,
    ) -> Float[Tensor, "batch valid"]:
        """Gain of each valid action over doing nothing, from the observation and this week's memory."""
        model = self.model
        expected = self._expected(x, sums, weights)
        # Answers so far, with a prior of 0.6 answers in 2 attempts, as in `MemoryLayout.contacts`.
        odds = torch.log((answers + 0.6) / (attempts - answers + 1.4))
        score = model.answer[0] + model.answer[1] * load.double() + model.answer[2] * odds.double()
        chance = torch.sigmoid(score + model.answer_levels).float()[:, model.lead]
        # What an answered contact did fades; until it has, the next one adds the rest only.
        spent = torch.exp(torch.log(model.decay) * since_answer.double())
        recovered = torch.where(since_answer >= LONG_AGO, 1.0, 1 - spent)
        share = model.share.float().expand_as(chance)
        if model.indicates:
            span = torch.where(model.high > model.low, model.high - model.low, 1.0)
            signs = ((x - model.low) / span).clamp(0, 1).float()
            share = share + signs @ model.indicated_share.float()
        scale = (expected * recovered).float() * chance
        if not self.turn_count:
            gains = scale * share
            if self.several_needs:
                again = torch.pow(AGAIN, met)[:, model.need]
                gains = gains * torch.where(model.share > 0, again, 1.0)
        else:
            turn = self.turns[attempts[:, 0].long() % self.turn_count]
            gains = scale * share[:, self.turns].mean(dim=1, keepdim=True)
            gains = torch.where(torch.arange(gains.shape[1]) == turn[:, None], gains, -torch.inf)
        gains = torch.where(since_attempt <= self.rest, -torch.inf, gains)
        return torch.where(torch.arange(gains.shape[1]) == model.nothing, 0.0, gains)

    def _expected(self, x: Tensor, sums: list[Tensor], weights: list[Tensor]) -> Float[Tensor, "batch 1"]:
        """Events expected over the credit window."""
        model, chosen, rated = self.model, self.chosen_places, self.rated_places
        picked = x[:, chosen]
        parts = [squash_tensor(picked)]
        floor = PRIOR_WEEKS * model.usual[rated]
        for total, weight in zip(sums, weights, strict=True):
            parts.append(total[:, chosen] / weight)
            rate = (total[:, rated].clamp(min=0).double() + floor) / (weight + PRIOR_WEEKS).double()
            parts.append(torch.log(rate).float())
        features = torch.cat(parts, dim=1).double()
        p = features.shape[1]
        scaled = ((features - model.center[:p]) / model.scale[:p]).clamp(-6, 6)
        score = model.forecast[0] + scaled @ model.forecast[1 : 1 + p, None]
        above = (score - model.knots).clamp(min=0)
        score = model.bend[0] + model.bend[1] * score + above @ model.bend[2:, None]
        return torch.exp(score.clamp(max=self.most)) * model.window
