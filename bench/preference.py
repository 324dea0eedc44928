"""Losses of learning from pairs and thumbs beside trl's: one small model, the same answers, in the same run.

    python bench/preference.py

Both sides get the same weights (a small Llama of random numbers, and another as its reference), the same tokens and
the same settings. Ends with an error where a loss or the norm of its gradient differs by more than 1e-4.
"""

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}

import importlib.metadata
import tempfile
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.noise import build_training_noise
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.dpo import DPO
from genloom.objectives.kto import KTO
from genloom.objectives.sft import build_preference_pairs, build_unpaired_preferences
from genloom.types import TokenSpace

warnings.filterwarnings("ignore")

VOCAB, LENGTH, ROWS = 64, 48, 8
CLOSE = 1e-4
DPO_RUNS = {
    "DPO": ({"loss_type": ["sigmoid"], "beta": 0.1}, {"beta": 0.1}),
    "DPO, a stronger beta": ({"loss_type": ["sigmoid"], "beta": 2.0}, {"beta": 2.0}),
    "DPO, a unit": ({"loss_type": ["sigmoid_norm"], "beta": 5.0}, {"beta": 5.0, "is_length_normalized": True}),
}
KTO_RUNS = {
    "KTO": ({"beta": 0.1}, {"beta": 0.1}),
    "KTO, a fallen model": ({"beta": 0.1}, {"beta": 0.1}),  # whose reference point is taken as zero
    "KTO, weighted": (
        {"beta": 0.5, "desirable_weight": 1.33, "undesirable_weight": 0.7},
        {"beta": 0.5, "desirable_weight": 1.33, "undesirable_weight": 0.7},
    ),
}


class Ours(nn.Module):
    """A causal model of transformers as a network that our objectives take."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: None = None, cond: None = None, lengths: Tensor | None = None) -> Tensor:
        assert lengths is not None
        real = torch.arange(x.shape[1]) < lengths[:, None]
        return self.model(input_ids=x, attention_mask=real.long()).logits


@dataclass(frozen=True)
class Data:
    prompts: list[list[int]]
    wins: list[list[int]]
    loses: list[list[int]]
    good: list[bool]

    @staticmethod
    def sample(seed: int) -> "Data":
        draw = np.random.default_rng(seed)

        def rows(low: int, high: int) -> list[list[int]]:
            return [draw.integers(3, VOCAB, draw.integers(low, high)).tolist() for _ in range(ROWS)]

        return Data(rows(2, 12), rows(1, 30), rows(1, 30), [bool(n % 3) for n in range(ROWS)])


def to_arrays(rows: list[list[int]]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.int64) for row in rows]


def build_llama(seed: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, initializer_range=0.3, **sizes))


def build_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCAB)}, unk_token="w1"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="w0", eos_token="w2", unk_token="w1")


def compute_peer_loss(trainer: Any, model: nn.Module, rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The loss of a batch as the trainer takes it, and the norm of its gradient."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    return loss.item(), compute_grad_norm(trainer.model)


def compute_grad_norm(model: nn.Module) -> float:
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().item()


def compare_losses() -> Iterator[tuple[str, tuple[float, float], tuple[float, float]]]:
    from datasets import Dataset, disable_progress_bars
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    disable_progress_bars()
    base, data = Autoregressive(TokenSpace(VOCAB, LENGTH)), Data.sample(0)
    one, other = build_llama(1), build_llama(2)
    common: dict[str, Any] = {
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": ROWS,
        "max_length": LENGTH,
    }
    words = [" ".join(f"w{n}" for n in row) for row in data.prompts]
    for name, (trl_settings, settings) in (DPO_RUNS | KTO_RUNS).items():
        paired = name in DPO_RUNS
        model, reference = (other, one) if "fallen" in name else (one, other)
        with tempfile.TemporaryDirectory() as folder:
            if paired:
                columns: dict[str, Any] = {"prompt": words, "chosen": [" w5"] * ROWS, "rejected": [" w6"] * ROWS}
                trainer: Any = DPOTrainer
                config: Any = DPOConfig
                rows = [
                    {"prompt_ids": p, "chosen_ids": w, "rejected_ids": x}
                    for p, w, x in zip(data.prompts, data.wins, data.loses, strict=True)
                ]
            else:
                columns = {"prompt": words, "completion": [" w5"] * ROWS, "label": data.good}
                trainer, config = KTOTrainer, KTOConfig
                others = [*data.wins[-1:], *data.wins[:-1]]
                rows = [
                    {"prompt_ids": p, "completion_ids": a, "KL_completion_ids": o, "label": g}
                    for p, a, o, g in zip(data.prompts, data.wins, others, data.good, strict=True)
                ]
            peer: Any = trainer(
                model=deepcopy(model),
                ref_model=deepcopy(reference),
                args=config(output_dir=folder, **common, **trl_settings),
                train_dataset=Dataset.from_dict(columns),
                processing_class=build_tokenizer(),
            )
            peer.model.eval()
            wanted = compute_peer_loss(peer, peer.model, rows)
        yield name, compute_own_loss(base, model, reference, data, paired, settings), wanted


def compute_own_loss(
    base: Autoregressive, model: Any, reference: Any, data: Data, paired: bool, settings: dict[str, Any]
) -> tuple[float, float]:
    parts = {"model": Ours(deepcopy(model)).eval()}
    before = {"model": Ours(reference).eval()}
    noise, turn = build_training_noise(0, 0, 0, ROWS), base.phases[0]
    prompts, wins = to_arrays(data.prompts), to_arrays(data.wins)
    if paired:
        given = build_preference_pairs(prompts, wins, to_arrays(data.loses), LENGTH)
        loss = DPO(base, before, rpo_alpha=0.0, **settings).loss(parts, given, turn, noise)
    else:
        kto = KTO(base, before, rpo_alpha=0.0, **settings)
        thumbs = kto.prepare_batch(
            parts, build_unpaired_preferences(prompts, wins, data.good, LENGTH), turn, noise, ROWS
        )
        assert thumbs.baseline is not None
        print(f"{'':22} reference point {thumbs.baseline[0]:.4f}")
        loss = kto.loss(parts, thumbs, turn, noise)
    mean = loss.per_sample.mean()
    mean.backward()
    return mean.item(), compute_grad_norm(parts["model"])


def main() -> None:
    versions = {name: importlib.metadata.version(name) for name in ("trl", "transformers", "torch")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    worst = 0.0
    for name, (loss, slope), (their_loss, their_slope) in compare_losses():
        worst = max(worst, abs(loss - their_loss), abs(slope - their_slope) / max(1.0, their_slope))
        print(f"{name:22} loss {loss:.6f}, trl {their_loss:.6f}   gradient {slope:.6f}, trl {their_slope:.6f}")
    print(f"largest difference {worst:.2g} (bound {CLOSE:g})")
    assert worst <= CLOSE, "our losses are not trl's"


if __name__ == "__main__":
    main()
