"""Hide symbols at random and predict them from the rest (masked diffusion).

Shape letters: B batch, L length, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import cos, pi

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.autoregressive import started
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Tokens, Turn

GRID_STEPS = 16  # in which a picture's codes are written
_TIME, _HIDE = 0, 1  # positions of the two draws of training


@dataclass(frozen=True)
class Controls:
    prompts: tuple[np.ndarray, ...] = ()  # a row of symbols each; a row with none starts with `space.start`
    known: np.ndarray | None = None  # in place of prompts: B L symbols to keep, -1 where the model fills a hole
    banned: tuple[int, ...] = ()
    ended: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))  # nothing here can end early
    length: int = 0  # symbols to write after the prompts; 0: up to the space's length
    steps: int = 0  # 0: one a symbol, or GRID_STEPS on a grid; fewer write several at once
    temperature: float = 1.0  # 0: always the likeliest symbol
    order: str = ""  # "random", as the model has learned, or "surest" first; "": surest on a grid, else random
    wander: float = 3.0  # how much chance has a say, at first, in what is surest; it ends with none

    def __post_init__(self) -> None:
        if self.temperature and not 1e-3 <= self.temperature <= 1e3:
            raise ValueError(f"temperature must be 0, or from 0.001 to 1000, got {self.temperature}.")
        if self.steps < 0 or self.length < 0 or self.wander < 0:
            raise ValueError("steps, length and wander must be 0 or more.")
        if self.order not in ("", "random", "surest"):
            raise ValueError(f"Unknown order {self.order!r}: symbols are written in random order, or the surest first.")


@dataclass(frozen=True)
class Masked:
    space: Tokens
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("model", ("model",)),)

    @property
    def hidden(self) -> int:
        return self.space.vocab  # one symbol more than the codec's stands for "hidden"

    @property
    def roles(self) -> dict[str, Role]:
        space = replace(self.space, vocab=self.space.vocab + 1)
        return {"model": Role(space, space, cond=self.cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """An estimate of a bound on minus log-likelihood, in nats (MDLM, Sahoo et al. 2024, equation 10, linear)."""
        real_BL = torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask.bool()
        real_BL = real_BL & (torch.arange(batch.x.shape[1], device=batch.x.device) > 0)  # the first symbol is given
        if batch.lengths is not None:
            real_BL = real_BL & (torch.arange(batch.x.shape[1], device=batch.x.device) < batch.lengths[:, None])
        t_B1 = noise.uniform((1,), _TIME).to(batch.x.device) * (1 - 1e-3) + 1e-3
        hide_BL = (noise.uniform(batch.x.shape[1:], _HIDE).to(batch.x.device) < t_B1) & real_BL
        logits_BLV = self.predict(parts, torch.where(hide_BL, self.hidden, batch.x), batch.cond, batch.lengths)
        nll_BL = F.cross_entropy(logits_BLV.flatten(0, 1), batch.x.flatten(), reduction="none").view(batch.x.shape)
        return Loss((nll_BL * hide_BL / t_B1).sum(1), real_BL.sum(1).float())

    def predict(self, parts: Parts, x_BL: Tensor, cond: Condition | None, lengths: Tensor | None = None) -> Tensor:
        return parts["model"](x_BL, cond=cond, lengths=lengths)[..., : self.hidden].float()

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        """Yield drafts in which -1 stands for what is still hidden.

        A draft is (count, n) without the prompts, or with `known` of its shape.
        """
        device = next(parts["model"].parameters()).device
        x_BL, written_BN, lengths = self.blank(count, controls)
        x_BL, written_BN = x_BL.to(device), written_BN.to(device)
        lengths = None if lengths is None else lengths.to(device)
        order = controls.order or ("surest" if self.space.grid else "random")
        steps = controls.steps or (GRID_STEPS if self.space.grid else written_BN.shape[1])
        # In random order a symbol appears when time has come down to its number.
        number_BL = noise.uniform((x_BL.shape[1],), 0).to(device)
        for i in range(steps):
            logits_BLV = self.predict(parts, x_BL, cond, lengths)
            if controls.banned:
                logits_BLV = logits_BLV.index_fill(2, torch.tensor(controls.banned, device=device), float("-inf"))
            drawn_BLV = logits_BLV
            if controls.temperature > 0:
                drawn_BLV = logits_BLV / controls.temperature
                drawn_BLV = drawn_BLV + noise.gumbel(logits_BLV.shape[1:], 1 + i).to(device)
            chosen_BL, hidden_BL = drawn_BLV.argmax(-1), x_BL == self.hidden
            if order == "random":
                # Time is cut at the quantiles of the hidden positions: each step writes as many symbols as any other.
                rank_BL, portions = ranks(number_BL, hidden_BL), steps - i
            else:  # MaskGIT (Chang et al. 2022, section 3.2): few symbols at first, more where more is known
                chance_BL = noise.gumbel((x_BL.shape[1],), 1 + steps + i).to(device)
                sure_BL = logits_BLV.log_softmax(-1).gather(2, chosen_BL[..., None])[..., 0]
                rank_BL = ranks(sure_BL + controls.wander * (1 - (i + 1) / steps) * chance_BL, hidden_BL)
                now, after = (cos(pi / 2 * j / steps) for j in (i, i + 1))
                portions = now / (now - after) if i + 1 < steps else 1
            write_BL = hidden_BL & (rank_BL < (hidden_BL.sum(1, keepdim=True) / portions).ceil())
            x_BL = torch.where(write_BL, chosen_BL, x_BL)
            yield torch.where(x_BL == self.hidden, -1, x_BL).gather(1, written_BN).cpu()

    def blank(self, count: int, controls: Controls) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows with hidden symbols to fill, the positions of each that are asked for, and lengths where they differ."""
        if controls.known is not None:
            assert len(controls.known) == count, f"{len(controls.known)} rows are known, and {count} are asked for"
            x_BL = torch.from_numpy(controls.known.astype(np.int64))
            return torch.where(x_BL < 0, self.hidden, x_BL), torch.arange(x_BL.shape[1]).expand(x_BL.shape), None
        prompts = started(controls.prompts, count, self.space)
        begins_B = torch.tensor([len(p) for p in prompts])
        longest = int(begins_B.max())
        room = controls.length or max(self.space.length - longest, 1)
        rows = [np.pad(np.pad(p, (0, room), constant_values=self.hidden), (0, longest - len(p))) for p in prompts]
        lengths = begins_B + room if int(begins_B.min()) < longest else None
        return torch.from_numpy(np.stack(rows)), begins_B[:, None] + torch.arange(room), lengths


def ranks(value_BL: Tensor, hidden_BL: Tensor) -> Tensor:
    """The place of every hidden position in the order of falling values; all others come after them."""
    return value_BL.masked_fill(~hidden_BL, float("-inf")).argsort(1, descending=True).argsort(1)
