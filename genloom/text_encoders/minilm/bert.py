"""The BERT encoder for short texts, with 8-bit weights.

Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding".

Shape letters: B batch, L length, D width, H heads, K head width, R rows of a matrix.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

WEIGHT_FILES = ("words.safetensors", "layers.safetensors")
POSITIONS_FILE = "positions.safetensors"  # those that only sentences and passages need, which are longer than prompts
NUM_HEADS = 12
NORM_EPS = 1e-12
LONG_POSITIONS = 256  # of the published model that are used


@dataclass(frozen=True)
class Bert:
    """The encoder. Rows of a batch have equal length, or a mask hides what pads them."""

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
    def __call__(self, ids_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Return the last hidden states, B L D float32; no state depends on positions where the mask is False."""
        h_BLD = (
            self.word_embeddings[ids_BL].float() * self.word_scales[ids_BL]
            + self.tensors["positions"][: ids_BL.shape[1]]
        )
        h_BLD = self.apply_norm("norm", h_BLD)
        for n in range(self.depth):
            h_BLD = self.apply_norm(f"{n}.norm_attention", h_BLD + self.apply_attention(n, h_BLD, mask_BL))
            hidden = F.gelu(self.apply_linear(f"{n}.up", h_BLD))
            h_BLD = self.apply_norm(f"{n}.norm_mlp", h_BLD + self.apply_linear(f"{n}.down", hidden))
        return h_BLD

    def apply_attention(self, n: int, h_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        # In bfloat16, torch's attention is slower on CPUs.
        q, k, v = self.apply_linear(f"{n}.qkv", h_BLD).float().unflatten(-1, (3, NUM_HEADS, -1)).permute(2, 0, 3, 1, 4)
        mask_B11L = None if mask_BL is None else mask_BL[:, None, None]
        out_BHLK = F.scaled_dot_product_attention(q, k, v, mask_B11L)
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


def load_long(folder: Path) -> Bert:
    """Load the encoder with all 256 positions, for texts that are longer than prompts."""
    network = load(folder)
    more_LD = load_file(folder / POSITIONS_FILE)["positions"].float()
    positions_LD = torch.cat([network.tensors["positions"], more_LD])
    return replace(network, tensors={**network.tensors, "positions": positions_LD})


def load_published(path: Path) -> Bert:
    """Load the encoder from the published file model.safetensors, in float32."""
    embedding, layers = convert_weights(load_file(path), LONG_POSITIONS)
    return Bert(embedding["weight"], torch.ones(len(embedding["weight"]), 1), layers)


def convert_weights(
    published: Mapping[str, Tensor], num_positions: int, depth: int = 6
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Rename published tensors: query, key and value become one matrix, and the segment is added to the positions."""

    def norm(name: str, old_name: str) -> dict[str, Tensor]:
        return {f"{name}.{kind}": published[f"{old_name}.LayerNorm.{kind}"] for kind in ("weight", "bias")}

    segment = published["embeddings.token_type_embeddings.weight"][0]
    new = {"positions": published["embeddings.position_embeddings.weight"][:num_positions] + segment}
    new |= norm("norm", "embeddings")
    for n in range(depth):
        layer = f"encoder.layer.{n}"
        new |= norm(f"{n}.norm_attention", f"{layer}.attention.output") | norm(f"{n}.norm_mlp", f"{layer}.output")
        for kind in ("weight", "bias"):
            qkv = [published[f"{layer}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            new[f"{n}.qkv.{kind}"] = torch.cat(qkv)
            new[f"{n}.out.{kind}"] = published[f"{layer}.attention.output.dense.{kind}"]
            new[f"{n}.up.{kind}"] = published[f"{layer}.intermediate.dense.{kind}"]
            new[f"{n}.down.{kind}"] = published[f"{layer}.output.dense.{kind}"]
    return {"weight": published["embeddings.word_embeddings.weight"]}, new


def quantize_rows(matrix_RD: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a matrix to int8 with a scale per row, R 1 float16; the error is at most half a step."""
    scale_R1 = (matrix_RD.abs().amax(1, keepdim=True) / 127).half()
    quants = (matrix_RD / scale_R1.float()).round().clamp(-127, 127)
    return quants.to(torch.int8), scale_R1
