"""The BERT encoder for short texts, with 8-bit weights.

Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding".

Shape letters: B batch, L length, D width, H heads, K head width, R rows of a matrix.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

WEIGHT_FILES = ("words.safetensors", "layers.safetensors")
NUM_HEADS = 12
NORM_EPS = 1e-12


@dataclass(frozen=True)
class Bert:
    """The encoder. Rows of a batch have equal length, so there is neither padding nor masking."""

    word_embeddings: Tensor  # R D, int8; rows are dequantised on lookup
    word_scales: Tensor  # R 1
    tensors: Mapping[str, Tensor]

    @property
    def dtype(self) -> torch.dtype:
        return self.tensors["0.qkv.weight"].dtype

    @property
    def depth(self) -> int:
        return sum(name.endswith(".qkv.weight") for name in self.tensors)

    @torch.inference_mode()
    def __call__(self, ids_BL: Tensor) -> Tensor:
        """Return the last hidden states, B L D float32."""
        h_BLD = (
            self.word_embeddings[ids_BL].float() * self.word_scales[ids_BL]
            + self.tensors["positions"][: ids_BL.shape[1]]
        )
        h_BLD = self.apply_norm("norm", h_BLD)
        for n in range(self.depth):
            h_BLD = self.apply_norm(f"{n}.norm_attention", h_BLD + self.apply_attention(n, h_BLD))
            hidden = F.gelu(self.apply_linear(f"{n}.up", h_BLD))
            h_BLD = self.apply_norm(f"{n}.norm_mlp", h_BLD + self.apply_linear(f"{n}.down", hidden))
        return h_BLD

    def apply_attention(self, n: int, h_BLD: Tensor) -> Tensor:
        # In bfloat16, torch's attention is slower on CPUs.
        q, k, v = self.apply_linear(f"{n}.qkv", h_BLD).float().unflatten(-1, (3, NUM_HEADS, -1)).permute(2, 0, 3, 1, 4)
        out_BHLK = F.scaled_dot_product_attention(q, k, v)
        return self.apply_linear(f"{n}.out", out_BHLK.transpose(1, 2).flatten(2))

    def apply_linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x.to(self.dtype), self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def apply_norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, NORM_EPS)


def load(folder: Path) -> Bert:
    """Load the encoder; matrices become bfloat16 if the CPU has native support, else float32."""
    capabilities = torch.cpu.get_capabilities()
    dtype = torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32
    word_tensors, layers = (load_file(folder / name) for name in WEIGHT_FILES)
    tensors = {name: t for name, t in layers.items() if t.dtype == torch.float32}
    for name in [name for name, t in layers.items() if t.dtype == torch.int8]:
        tensors[name] = (layers[name].float() * layers[f"{name}.scale"].float()).to(dtype)
        bias = name.replace(".weight", ".bias")
        tensors[bias] = tensors[bias].to(dtype)
    return Bert(word_tensors["weight"], word_tensors["weight.scale"].float(), tensors)


def quantize_rows(matrix_RD: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a matrix to int8 with a scale per row, R 1 float16; the error is at most half a step."""
    scale_R1 = (matrix_RD.abs().amax(1, keepdim=True) / 127).half()
    quants = (matrix_RD / scale_R1.float()).round().clamp(-127, 127)
    return quants.to(torch.int8), scale_R1
