"""Weights quantized to 8 or 4 bits in groups of 32, in the order in which the C++ reads them.

Shape letters: N rows, K columns, P panels of R = 16 rows, G groups of 32 columns, S lines of 64 bytes, H the two
columns of a pair.
"""

import mmap
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PANEL_ROWS, GROUP_SIZE = 16, 32


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix in the layout of matrix.h; zeros pad the last panel beyond `rows`."""

    rows: int
    columns: int
    bits: int
    quants: Tensor  # P G bytes, uint8
    scales: Tensor  # P G 1 R (8 bits: scale) or P G 2 R (4 bits: scale and minimum), float16
    bias: Tensor | None  # one number per padded row, float32

    @property
    def padded_rows(self) -> int:
        return len(self.quants) * PANEL_ROWS

    @property
    def num_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.quants, self.scales))


def quantize_matrix(weight_NK: Tensor, bits: int, bias_N: Tensor | None = None) -> QuantizedMatrix:
    """Quantize a matrix whose columns are a multiple of the group size.

    8 bits: integers from -127 to 127 times a scale (GGUF's Q8_0). 4 bits: 0 to 15 times a scale, plus the minimum
    (Q4_1). Weights that already lie on such a grid stay exact.
    """
    N, K = weight_NK.shape
    assert K % GROUP_SIZE == 0, "the columns must be a multiple of the group size"
    padded_NK = weight_NK.new_zeros(-(-N // PANEL_ROWS) * PANEL_ROWS, K, dtype=torch.float32)
    padded_NK[:N] = weight_NK
    groups = padded_NK.view(-1, PANEL_ROWS, K // GROUP_SIZE, GROUP_SIZE).transpose(1, 2)  # P G R 32
    if bits == 8:
        scale = (groups.abs().amax(-1) / 127).half()
        levels = round_to_grid(groups, scale.float(), -127, 127).to(torch.int8).view(torch.uint8)
        bytes_, scales = levels.unflatten(-1, (8, 2, 2)), scale[:, :, None]  # P G R S 2 H, pair by pair
    else:
        minimum, maximum = groups.aminmax(dim=-1)
        scale, minimum = ((maximum - minimum) / 15).half(), minimum.half()
        levels = round_to_grid(groups - minimum.float()[..., None], scale.float(), 0, 15).to(torch.uint8)
        pairs = levels.unflatten(-1, (4, 2, 2, 2))
        bytes_, scales = pairs[..., 0, :] | pairs[..., 1, :] << 4, torch.stack([scale, minimum], 2)
    quants = bytes_.permute(0, 1, 3, 2, 5, 4).flatten(2)  # a lane: first columns of the pairs, then second ones
    bias = None
    if bias_N is not None:
        bias = torch.zeros(len(padded_NK))
        bias[:N] = bias_N
    return QuantizedMatrix(N, K, bits, quants.contiguous(), scales.contiguous(), bias)


def is_lossless(weight_NK: Tensor, bits: int) -> bool:
    """Return whether quantization is lossless."""
    return torch.equal(dequantize_matrix(quantize_matrix(weight_NK, bits)), weight_NK)


def round_to_grid(values: Tensor, scale: Tensor, minimum: int, maximum: int) -> Tensor:
    return (values / scale.clamp(min=2**-24)[..., None]).round_().clamp_(minimum, maximum)


def place_contiguously(matrices: list[QuantizedMatrix]) -> list[QuantizedMatrix]:
    """Return the same matrices in one area of huge pages, which the processor reads a tenth faster."""
    parts = [part.flatten().view(torch.uint8) for m in matrices for part in (m.quants, m.scales)]
    mapping = mmap.mmap(-1, sum(align_size(len(part)) for part in parts))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    buffer, offset, views = torch.frombuffer(mapping, dtype=torch.uint8), 0, []
    for part in parts:
        view = buffer[offset : offset + len(part)]
        view.copy_(part)
        views.append(view)
        offset += align_size(len(part))
    return [
        replace(m, quants=quants.view(m.quants.shape), scales=scales.view(torch.float16).view(m.scales.shape))
        for m, quants, scales in zip(matrices, views[0::2], views[1::2], strict=True)
    ]


def align_size(size: int) -> int:
    return -(-size // 64) * 64


def dequantize_matrix(matrix: QuantizedMatrix) -> Tensor:
    """Return the weights that the quantized matrix represents, N K float32."""
    scales = matrix.scales.float()[:, :, :, :, None]
    bytes_ = matrix.quants.unflatten(2, (-1, PANEL_ROWS, 2, 2)).permute(0, 1, 3, 2, 5, 4)  # P G R S 2 H
    if matrix.bits == 8:
        groups = bytes_.reshape(*bytes_.shape[:3], GROUP_SIZE).view(torch.int8) * scales[:, :, 0]
    else:
        nibbles = torch.stack([bytes_ & 15, bytes_ >> 4], 5)
        groups = nibbles.flatten(3) * scales[:, :, 0] + scales[:, :, 1]
    return groups.transpose(1, 2).reshape(-1, matrix.columns)[: matrix.rows]
