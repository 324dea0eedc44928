"""Memory of a training run on each of several devices, by the way in which they share the weights."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from genloom.train.loop import TrainConfig
from genloom.train.planning.forecast import count_bytes_per_element
from genloom.train.planning.network_sizes import NetworkSizes

Strategy = Literal["ddp", "fsdp"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)  # as genloom/train/parallel/config.py names them
MASTER_BYTES = 4  # of a weight and a gradient between steps: float32
LOGITS_CHUNK = 1 << 24  # logits in memory at once (genloom/objectives/cross_entropy.py)
FUSED_VOCAB = 1024  # vocabulary size from which they are computed in chunks


@dataclass(frozen=True)
class Layout:
    """How devices share a run, and what each of them reads at a time."""

    devices: int = 1
    strategy: Strategy = "ddp"  # all weights on each device; or "fsdp": its share of weights, gradients and optimizer
    rows: int = 1  # on a device at a time
    row_positions: int = 1
    has_checkpointing: bool = False  # of activations: only the input of a block is kept, and the block computed again
    has_fused_kernels: bool = True  # of attention and norms, as GPUs have them: no scores are kept

    @property
    def shards(self) -> int:
        return self.devices if self.strategy == "fsdp" else 1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on each device; `total` is their peak."""

    weights: int  # masters in float32, and a copy in lower precision where they are not shared
    gradients: int
    optimizer: int
    averages: int  # the moving average of the weights
    gathered: int  # weights and gradients of the blocks that are being computed, whole
    activations: int
    logits: int
    update: int  # temporary, of the optimizer's step, when activations are gone

    @property
    def total(self) -> int:
        kept = self.weights + self.gradients + self.optimizer + self.averages
        return kept + max(self.gathered + self.activations + self.logits, self.update)

    def to_json(self) -> dict[str, int]:
        """Return the bytes by name, with their peak."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"total": self.total}


def estimate_device_memory(sizes: NetworkSizes, plan: TrainConfig, layout: Layout) -> MemoryEstimate:
    """Estimate the bytes of a run on each of its devices, without those of the libraries and of data loading."""
    element = count_bytes_per_element(plan)
    shards, positions = layout.shards, layout.rows * layout.row_positions
    has_copy = element < MASTER_BYTES
    adam = sizes.parameters - sizes.muon_parameters
    weights, gradients, gathered = MASTER_BYTES * sizes.parameters, MASTER_BYTES * sizes.parameters, 0
    # The momentum after the step and its stack in float32, and three matrices of the iteration.
    update = (2 * MASTER_BYTES + 3 * element) * sizes.largest_stack
    if layout.strategy == "fsdp":
        # The root's weights stay gathered in a step; a block is gathered while the one before it computes. Its
        # gradients are whole in the precision of the step, and are then summed in float32.
        groups = sizes.root_parameters + 2 * sizes.block_parameters
        gradient_groups = sizes.root_parameters + sizes.block_parameters
        largest = max(sizes.root_parameters, sizes.block_parameters)
        update = 4 * sizes.largest_stack // shards + (2 * MASTER_BYTES + 3 * element) * sizes.largest_matrix
        gathered = element * (groups + gradient_groups) + MASTER_BYTES * largest
    elif has_copy:
        weights += element * sizes.parameters
        gradients += element * sizes.parameters
    return MemoryEstimate(
        weights=weights // shards,
        gradients=gradients // shards,
        optimizer=MASTER_BYTES * (sizes.muon_parameters + 2 * adam) // shards,
        averages=MASTER_BYTES * sizes.parameters // shards if plan.ema_decay else 0,
        gathered=gathered,
        activations=count_activation_bytes(sizes, element, positions, layout),
        logits=count_logit_bytes(sizes, element, positions),
        update=update,
    )


def count_activation_bytes(sizes: NetworkSizes, element: int, positions: int, layout: Layout) -> int:
    """Return the bytes that the backward pass of a micro-batch needs."""
    kept = sizes.kept_values + (0 if layout.has_fused_kernels else sizes.kept_scores)
    if layout.has_checkpointing and sizes.blocks and sizes.width:
        kept = sizes.blocks * sizes.width + kept // sizes.blocks
    return element * positions * kept


def count_logit_bytes(sizes: NetworkSizes, element: int, positions: int) -> int:
    """Return the bytes of the logits, their probabilities and the gradients of hidden states and head."""
    if not sizes.vocab_size:
        return 0
    if sizes.vocab_size < FUSED_VOCAB:  # logits, the same in float32, their logarithms and gradients
        return positions * sizes.vocab_size * (2 * element + 3 * MASTER_BYTES)
    chunk = min(LOGITS_CHUNK, positions * sizes.vocab_size)
    head = sizes.vocab_size * sizes.width
    return element * (2 * chunk + 2 * positions * sizes.width + head)


def count_cache_bytes(sizes: NetworkSizes, positions: int, element: int = 2) -> int:
    """Return the bytes of the keys and values of a text of this many positions that is generated."""
    return element * positions * sizes.cache_values
