"""Memory of a training run on each of several devices, by the way in which they share the weights."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from genloom.objectives.cross_entropy import CHUNK, MIN_FUSED_VOCAB
from genloom.train.loop import TrainConfig
from genloom.train.planning.forecast import count_bytes_per_element
from genloom.train.planning.network_sizes import NetworkSizes

Strategy = Literal["ddp", "fsdp"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)  # as genloom/train/parallel/config.py names them
MASTER_BYTES = 4  # of a weight and a gradient between steps: float32


@dataclass(frozen=True)
class Layout:
    """How devices share a run, and what each of them reads at a time."""

    devices: int = 1
    strategy: Strategy = "ddp"  # all weights on each device; or "fsdp": its share of weights, gradients and optimizer
    rows: int = 1  # on a device at a time
    row_positions: int = 1
    micro_batches: int = 1  # of a step, one after the other
    has_checkpointing: bool = False  # of activations: only the input of a block is kept, and the block computed again
    has_fused_kernels: bool = True  # of attention and norms, as GPUs have them: no scores are kept

    @property
    def shards(self) -> int:
        return self.devices if self.strategy == "fsdp" else 1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on each device. Not all are there at once: `total` is their peak."""

    weights: int  # masters in float32, and a copy in lower precision where they are not shared
    gradients: int
    optimizer: int
    averages: int  # the moving average of the weights
    gathered: int  # whole weights and gradients of the root and of the blocks that are being computed
    activations: int
    logits: int
    update: int  # temporary, of the optimizer's step
    total: int

    def to_json(self) -> dict[str, int]:
        """Return the bytes by name."""
        return asdict(self)


def estimate_device_memory(sizes: NetworkSizes, plan: TrainConfig, layout: Layout) -> MemoryEstimate:
    """Estimate the bytes of a run on each of its devices, without those of the libraries and of data loading.

    The peak is at the end of the forward pass, in the first block of the backward pass, at its end, or in the
    optimizer's step. Gradients are there in the first two only if a micro-batch came before.
    """
    element, shards = count_bytes_per_element(plan), layout.shards
    positions, adam = layout.rows * layout.row_positions, sizes.parameters - sizes.muon_parameters
    root, block = sizes.root_parameters, sizes.block_parameters
    inputs, recomputed = count_activation_bytes(sizes, element, positions, layout)
    logits = count_logit_bytes(sizes, element, positions)
    weights, gradients = MASTER_BYTES * sizes.parameters, MASTER_BYTES * sizes.parameters
    # The momentum after the step and its stack in float32, and three matrices of the iteration.
    update = (2 * MASTER_BYTES + 3 * element) * sizes.largest_stack
    gathered_forward = gathered_backward = gathered_end = 0
    if layout.strategy == "fsdp":
        # The root stays gathered until its gradients are summed, which is last. A block is gathered while the one
        # before computes; its gradients are whole in the precision of the step, and are then summed in float32.
        gathered_forward = element * (root + block)
        head = min(sizes.vocab_size * sizes.width, root)
        gathered_backward = element * (root + head + 3 * block) + MASTER_BYTES * block
        gathered_end = (element + MASTER_BYTES) * root
        update = MASTER_BYTES * sizes.largest_stack // shards + (2 * MASTER_BYTES + 3 * element) * sizes.largest_matrix
    elif element < MASTER_BYTES:
        weights += element * sizes.parameters
        gradients += element * sizes.parameters
    # Replicated gradients are copied into the messages that sum them.
    summed = 2 * MASTER_BYTES * sizes.parameters if layout.strategy == "ddp" and layout.devices > 1 else 0
    kept = (weights + MASTER_BYTES * (sizes.muon_parameters + 2 * adam)) // shards
    averages = MASTER_BYTES * sizes.parameters // shards * plan.num_averages
    earlier = MASTER_BYTES * sizes.parameters // shards if layout.micro_batches > 1 else 0
    moments = (
        earlier + gathered_forward + inputs + logits,
        earlier + gathered_backward + inputs + recomputed,
        max(gradients // shards + gathered_end, summed),
        gradients // shards + update,
    )
    return MemoryEstimate(
        weights=weights // shards,
        gradients=gradients // shards,
        optimizer=kept - weights // shards,
        averages=averages,
        gathered=max(gathered_forward, gathered_backward, gathered_end),
        activations=inputs + recomputed,
        logits=logits,
        update=update,
        total=kept + averages + max(moments),
    )


def count_activation_bytes(sizes: NetworkSizes, element: int, positions: int, layout: Layout) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps, and those of the block that is computed again with checkpointing."""
    kept = sizes.kept_values + (0 if layout.has_fused_kernels else sizes.kept_scores)
    if not (layout.has_checkpointing and sizes.blocks and sizes.width):
        return element * positions * kept, 0
    return element * positions * sizes.blocks * sizes.width, element * positions * kept // sizes.blocks


def count_logit_bytes(sizes: NetworkSizes, element: int, positions: int) -> int:
    """Return the bytes of the logits and their probabilities, and of the gradients of hidden states and head."""
    if not sizes.vocab_size:
        return 0
    if sizes.vocab_size < MIN_FUSED_VOCAB:  # logits, the same in float32, their logarithms and gradients
        return positions * sizes.vocab_size * (2 * element + 3 * MASTER_BYTES)
    chunk = min(CHUNK, positions * sizes.vocab_size)
    head = sizes.vocab_size * sizes.width
    return element * ((4 if sizes.has_softcap else 2) * chunk + 2 * positions * sizes.width + head)


def count_cache_bytes(sizes: NetworkSizes, positions: int, element: int = 2) -> int:
    """Return the bytes of the keys and values of a text of this many positions that is generated."""
    return element * positions * sizes.cache_values
