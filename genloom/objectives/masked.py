"""Mask tokens at random and predict them from the rest (masked diffusion).

Shape letters: B batch, L length, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import cos, pi

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives import autoregressive
from genloom.objectives.autoregressive import build_contexts
from genloom.objectives.checks import check_options, temperature_option
from genloom.objectives.sizes import resize_for_tokens, size_option
from genloom.settings import option
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, TokenSpace

ORDERS = ("", "random", "confidence")
GRID_STEPS = 16  # default sampling steps of a grid of codes
_TIME, _MASK = 0, 1  # positions of the two draws of training


@dataclass(frozen=True)
class SamplerInputs(autoregressive.SamplerInputs):
    """The inputs of a sampler of tokens; no row ends early, so that `eos_ids` and `is_finished` are not used."""

    known_ids: np.ndarray | None = None  # instead of prompts: B L tokens to keep, -1 where the model fills in


@dataclass(frozen=True)
class SamplingParams:
    max_tokens: int = option(0, "Number of new tokens; 0 is up to the context length.", minimum=0, maximum=1_000_000)
    steps: int = option(
        0,
        f"Number of steps; fewer write several tokens at once. 0: one per token, or {GRID_STEPS} on a grid.",
        minimum=0,
        maximum=10_000,
    )
    temperature: float = temperature_option()
    order: str = option(
        "", 'Order of the tokens; "" is confidence on a grid, else random, as in training.', choices=ORDERS
    )
    choice_temperature: float = option(
        3.0, "Noise of the confidence at the first step (MaskGIT); it falls to 0.", minimum=0, maximum=1000
    )
    size: tuple[int, ...] = size_option()
    inputs: SamplerInputs = field(default_factory=SamplerInputs)

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise GenloomError("objectives.unknown_order", order=self.order)
        check_options(self)


@dataclass(frozen=True)
class Masked:
    space: TokenSpace
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("model", ("model",)),)

    @property
    def mask_id(self) -> int:
        """The id of the mask token, which follows the ids of the codec."""
        return self.space.vocab_size

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        space = replace(self.space, vocab_size=self.space.vocab_size + 1)
        return {"model": NetworkSpec(space, space, condition=self.condition)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Estimate a bound on the NLL of each row, in nats (MDLM, Sahoo et al. 2024, equation 10, linear schedule)."""
        assert batch.segments is None, "attention in both directions does not keep packed documents apart"
        positions = torch.arange(batch.x.shape[1], device=batch.x.device)
        loss_mask_BL = torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask.bool()
        loss_mask_BL = loss_mask_BL & (positions > 0)  # the first token is given
        if batch.lengths is not None:
            loss_mask_BL = loss_mask_BL & (positions < batch.lengths[:, None])
        t_B1 = noise.uniform((1,), _TIME).to(batch.x.device) * (1 - 1e-3) + 1e-3
        is_masked_BL = (noise.uniform(batch.x.shape[1:], _MASK).to(batch.x.device) < t_B1) & loss_mask_BL
        logits_BLV = self.predict_logits(
            parts, torch.where(is_masked_BL, self.mask_id, batch.x), batch.cond, batch.lengths
        )
        nll_BL = F.cross_entropy(logits_BLV.flatten(0, 1), batch.x.flatten(), reduction="none").view(batch.x.shape)
        return Loss((nll_BL * is_masked_BL / t_B1).sum(1), loss_mask_BL.sum(1).float())

    def predict_logits(
        self, parts: Parts, x_BL: Tensor, cond: Condition | None, lengths: Tensor | None = None
    ) -> Tensor:
        return parts["model"](x_BL, cond=cond, lengths=lengths)[..., : self.mask_id].float()

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        """Yield drafts in which -1 is a token that is still masked.

        A draft is (count, n) without the prompts, or has the shape of `known_ids`.
        """
        device = next(parts["model"].parameters()).device
        network, num_tokens = resize_for_tokens(parts["model"], self.space, params.size)
        parts, params = {"model": network}, replace(params, max_tokens=num_tokens or params.max_tokens)
        x_BL, output_BN, lengths = self.build_masked_rows(count, params)
        x_BL, output_BN = x_BL.to(device), output_BN.to(device)
        lengths = None if lengths is None else lengths.to(device)
        order = params.order or ("confidence" if self.space.grid else "random")
        steps = params.steps or (GRID_STEPS if self.space.grid else output_BN.shape[1])
        # In random order, a token is revealed when the time falls below its number.
        order_BL = noise.uniform((x_BL.shape[1],), 0).to(device)
        for i in range(steps):
            logits_BLV = self.predict_logits(parts, x_BL, cond, lengths)
            if params.inputs.suppressed_tokens:
                logits_BLV = logits_BLV.index_fill(
                    2, torch.tensor(params.inputs.suppressed_tokens, device=device), float("-inf")
                )
            perturbed_BLV = logits_BLV
            if params.temperature > 0:
                perturbed_BLV = logits_BLV / params.temperature
                perturbed_BLV = perturbed_BLV + noise.gumbel(logits_BLV.shape[1:], 1 + i).to(device)
            token_BL, is_masked_BL = perturbed_BLV.argmax(-1), x_BL == self.mask_id
            if order == "random":
                # The steps are the quantiles of the masked positions: each step reveals equally many tokens.
                rank_BL, denominator = rank_masked(order_BL, is_masked_BL), steps - i
            else:  # MaskGIT (Chang et al. 2022, section 3.2): few tokens at first, more in later steps
                gumbel_BL = noise.gumbel((x_BL.shape[1],), 1 + steps + i).to(device)
                confidence_BL = logits_BLV.log_softmax(-1).gather(2, token_BL[..., None])[..., 0]
                rank_BL = rank_masked(
                    confidence_BL + params.choice_temperature * (1 - (i + 1) / steps) * gumbel_BL, is_masked_BL
                )
                mask_ratio, next_mask_ratio = (cos(pi / 2 * j / steps) for j in (i, i + 1))
                denominator = mask_ratio / (mask_ratio - next_mask_ratio) if i + 1 < steps else 1
            is_revealed_BL = is_masked_BL & (rank_BL < (is_masked_BL.sum(1, keepdim=True) / denominator).ceil())
            x_BL = torch.where(is_revealed_BL, token_BL, x_BL)
            yield torch.where(x_BL == self.mask_id, -1, x_BL).gather(1, output_BN).cpu()

    def build_masked_rows(self, count: int, params: SamplingParams) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return rows with masked tokens to fill, the output positions of each, and the lengths if they differ."""
        if params.inputs.known_ids is not None:
            assert len(params.inputs.known_ids) == count, (
                f"{len(params.inputs.known_ids)} known rows for {count} samples"
            )
            x_BL = torch.from_numpy(params.inputs.known_ids.astype(np.int64))
            return torch.where(x_BL < 0, self.mask_id, x_BL), torch.arange(x_BL.shape[1]).expand(x_BL.shape), None
        prompt_ids = build_contexts(params.inputs.prompt_ids, count, self.space)
        prompt_lengths_B = torch.tensor([len(p) for p in prompt_ids])
        longest = int(prompt_lengths_B.max())
        max_tokens = params.max_tokens or max(self.space.context_length - longest, 1)
        rows = [
            np.pad(np.pad(p, (0, max_tokens), constant_values=self.mask_id), (0, longest - len(p))) for p in prompt_ids
        ]
        lengths = prompt_lengths_B + max_tokens if int(prompt_lengths_B.min()) < longest else None
        return torch.from_numpy(np.stack(rows)), prompt_lengths_B[:, None] + torch.arange(max_tokens), lengths


def rank_masked(value_BL: Tensor, is_masked_BL: Tensor) -> Tensor:
    """Return the rank of every masked position by descending value; the other positions follow."""
    return value_BL.masked_fill(~is_masked_BL, float("-inf")).argsort(1, descending=True).argsort(1)
