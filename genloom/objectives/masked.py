"""Hide symbols at random and predict them from the rest (masked diffusion).

Shape letters: B batch, L length, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Tokens, Turn

_TIME, _HIDE = 0, 1  # positions of the two draws of training


@dataclass(frozen=True)
class Controls:
    prompts: tuple[np.ndarray, ...] = ()  # symbols that each row starts with
    known: np.ndarray | None = None  # B L symbols to keep, -1 where the model writes: holes in a text
    banned: tuple[int, ...] = ()
    ended: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))  # nothing here can end early
    length: int = 0  # 0: the space's length
    steps: int = 0  # 0: one a symbol; fewer write several at once
    temperature: float = 1.0


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
        takes = Tokens(self.space.vocab + 1, self.space.length)
        return {"model": Role(takes, Tokens(self.space.vocab + 1, self.space.length), cond=self.cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """An estimate of a bound on minus log-likelihood, in nats (MDLM, Sahoo et al. 2024, equation 10, linear)."""
        real_BL = torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask.bool()
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
        """Yield drafts (count, L) in which -1 stands for what is still hidden; symbols appear in random order."""
        device = next(parts["model"].parameters()).device
        L = controls.length or self.space.length
        if controls.known is None:
            x_BL = torch.full((count, L), self.hidden, device=device)
        else:
            x_BL = torch.from_numpy(controls.known.astype(np.int64)).to(device)
            x_BL = torch.where(x_BL < 0, self.hidden, x_BL)
        order_BL = noise.uniform((x_BL.shape[1],), 0).to(
            device
        )  # a symbol appears when time has come down to its number
        steps = controls.steps or x_BL.shape[1]
        for i in range(steps):
            # Time is cut at the quantiles of the hidden positions: each step writes as many symbols as any other.
            hidden_BL = x_BL == self.hidden
            rank_BL = order_BL.masked_fill(~hidden_BL, -1).argsort(1, descending=True).argsort(1)
            write_BL = hidden_BL & (rank_BL < (hidden_BL.sum(1, keepdim=True) / (steps - i)).ceil())
            logits_BLV = self.predict(parts, x_BL, cond)
            if controls.temperature > 0:
                logits_BLV = logits_BLV / controls.temperature
                logits_BLV = logits_BLV + noise.gumbel(logits_BLV.shape[1:], 1 + i).to(device)
            x_BL = torch.where(write_BL, logits_BLV.argmax(-1), x_BL)
            yield torch.where(x_BL == self.hidden, -1, x_BL).cpu()
