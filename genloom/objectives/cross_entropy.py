"""Cross-entropy after a last linear layer without ever holding all logits: chunk by chunk, with the gradients.

With tens of thousands of tokens, the logits of a batch are larger than everything else in a step. Each chunk of them is
computed, turned into probabilities, then in place into the gradient, multiplied, and discarded. After Wijmans et al.
2024, "Cut your losses in large-vocabulary language models", and Hsu et al. 2024, "Liger kernel".

Shape letters: N positions, C positions of a chunk, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 24  # logits in memory at once; matmuls of fewer rows are slower
MIN_FUSED_VOCAB = 1024  # vocabulary size from which the chunked version is faster (docs/log.md)


def cross_entropy(
    h_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float = 0.0, z_loss: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the cost of each position, and its negative log-likelihood, detached; both N, float32.

    The logits are h @ weight.T, bounded by softcap x tanh(logits / softcap) where softcap is above 0. The cost is
    -log p(target) + z_loss x log(partition)^2. Equal to F.cross_entropy of all logits, in value and gradients; the
    gradient of a head that does not need one is not computed.
    """
    costs_N, nll_N = _CrossEntropy.apply(h_ND, weight_VD, targets_N, softcap, z_loss)
    return costs_N, nll_N


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        h_ND, weight_VD, targets_N, softcap, z_loss = args
        ctx.settings = softcap, z_loss
        needs_grad = ctx.needs_input_grad[:2]
        costs_N, nll_N, dh_ND, dweight_VD = compute_losses_and_grads(
            h_ND, weight_VD, targets_N, softcap, z_loss, needs_grad
        )
        ctx.save_for_backward(h_ND, weight_VD, targets_N, dh_ND, dweight_VD)
        ctx.mark_non_differentiable(nll_N)
        return costs_N, nll_N

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        g_N = grad_outputs[0]
        h_ND, weight_VD, targets_N, dh_ND, dweight_VD = ctx.saved_tensors
        if dweight_VD is not None and len(g_N):
            if bool((g_N == g_N[0]).all()):
                dweight_VD = dweight_VD if g_N[0] == 1 else dweight_VD * g_N[0].to(dweight_VD.dtype)
            else:  # the gradient in memory is the sum with equal weights
                dweight_VD = compute_losses_and_grads(h_ND, weight_VD, targets_N, *ctx.settings, (False, True), g_N)[3]
        return None if dh_ND is None else dh_ND * g_N[:, None].to(dh_ND.dtype), dweight_VD, None, None, None


def compute_losses_and_grads(
    h_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float,
    z_loss: float,
    needs_grad: tuple[bool, bool],
    weights_N: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the costs and NLLs of all positions, and the gradients of the costs' sum by h and by the head, if needed.

    `weights_N` weights the positions in the gradients.
    """
    N, V = len(h_ND), len(weight_VD)
    costs_N, nll_N = h_ND.new_empty(N, dtype=torch.float32), h_ND.new_empty(N, dtype=torch.float32)
    dh_ND = torch.empty_like(h_ND) if needs_grad[0] else None
    dweight_VD = torch.zeros_like(weight_VD) if needs_grad[1] else None
    chunk_size = max(CHUNK // V, 1)
    logits, probs = (h_ND.new_empty(min(chunk_size, N), V) for _ in range(2))  # one buffer for all chunks
    for first in range(0, N, chunk_size):
        chunk = slice(first, min(first + chunk_size, N))
        h_CD, targets_C1 = h_ND[chunk], targets_N[chunk, None]
        logits_CV = torch.mm(h_CD, weight_VD.T, out=logits[: len(h_CD)])
        if softcap:
            logits_CV.div_(softcap).tanh_().mul_(softcap)
        p_CV = torch.softmax(logits_CV, 1, out=probs[: len(h_CD)])
        partition_C = logits_CV.amax(1).float() - p_CV.amax(1).float().log()
        nll_N[chunk] = partition_C - logits_CV.gather(1, targets_C1)[:, 0].float()
        costs_N[chunk] = nll_N[chunk] + z_loss * partition_C.square()
        if not any(needs_grad):
            continue
        if z_loss:
            p_CV.mul_((1 + 2 * z_loss * partition_C).to(p_CV.dtype)[:, None])
        p_CV.scatter_add_(1, targets_C1, p_CV.new_full((1, 1), -1).expand_as(targets_C1))
        if softcap:
            p_CV.mul_(1 - (logits_CV / softcap).square_())
        if weights_N is not None:
            p_CV.mul_(weights_N[chunk, None].to(p_CV.dtype))
        if dh_ND is not None:
            torch.mm(p_CV, weight_VD, out=dh_ND[chunk])
        if dweight_VD is not None:
            dweight_VD.addmm_(p_CV.T, h_CD)
    return costs_N, nll_N, dh_ND, dweight_VD
