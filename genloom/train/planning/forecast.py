"""Scaling laws and memory estimates, fitted to runs of Genloom (docs/scaling.md)."""

from dataclasses import dataclass
from math import log2

import psutil
import torch
from torch import Tensor

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model import Design
from genloom.noise import build_training_noise
from genloom.settings import parse_settings
from genloom.train.loop import TrainConfig
from genloom.types import Batch, Objective, Parts

NUM_EVALS = 5  # during a run
MAX_EVAL_FRACTION = 0.2  # of a run's time limit, for all evaluations
MIN_EVAL_SHARE = 0.02  # of the usual amount of held-out data
DEFAULT_ERROR = 0.05  # relative; the largest error on six small collections (docs/scaling.md)
PILOT_MIN_TOKENS = 6_000_000  # larger texts differ in how fast they are learned; a pilot run measures it
PILOT_TOKENS = 612_000  # that the pilot run trains on
PILOT_PARAMETERS = 160_000  # of its network
DEFAULT_PILOT_GAIN = 0.045  # the gain of such a network if there is no pilot run


@dataclass(frozen=True)
class ScalingLaw:
    """Bits per byte relative to the n-gram baseline; the ratio falls with each doubling of size and of data."""

    base_ratio: float = 0.949  # at PILOT_PARAMETERS and PILOT_TOKENS
    size_slope: float = 0.0029
    data_slope: float = 0.0129
    size_data_slope: float = 0.001  # larger networks gain more from data
    half_value_epochs: float = 16.0  # after which text is worth half as much as fresh text
    min_ratio: float = 0.5  # lower bound of forecasts
    error: float = DEFAULT_ERROR

    def predict_ratio(self, num_parameters: int, num_tokens: int, dataset_tokens: int) -> float:
        size_doublings = log2(max(num_parameters, 1) / PILOT_PARAMETERS)
        data_doublings = log2(
            max(num_tokens / (1 + num_tokens / (self.half_value_epochs * dataset_tokens)), 1) / PILOT_TOKENS
        )
        gain = (
            self.size_slope * size_doublings
            + (self.data_slope + self.size_data_slope * max(size_doublings, 0.0)) * data_doublings
        )
        return max(self.base_ratio - gain, self.min_ratio)


def find_scaling_law(design: Design, dataset_tokens: int, measured_gain: float | None = None) -> ScalingLaw | None:
    """Return the scaling law for this design and size of text; None if none is known.

    `measured_gain` is the share of the baseline's bits that a pilot network saved on this text.
    """
    if (design.codec, design.network, design.objective) != ("bytes", "ngram", "autoregressive"):
        return None
    if dataset_tokens <= PILOT_MIN_TOKENS:
        return ScalingLaw()
    pilot_gain = DEFAULT_PILOT_GAIN if measured_gain is None else measured_gain
    data_slope = 0.013 + 0.28 * pilot_gain
    return ScalingLaw(
        1 - pilot_gain, 0.23 * data_slope, data_slope, 0.08 * data_slope, error=0.12 if measured_gain is None else 0.08
    )


@dataclass(frozen=True)
class PublishedLaw:
    """Nats per token of a transformer after one reading of its text: `floor` + a / parameters^b + c / tokens^d.

    The form is that of Hoffmann et al. 2022, the numbers those that Besiroglu et al. 2024 fitted to their runs.
    """

    floor: float = 1.8172
    size_factor: float = 482.01
    size_exponent: float = 0.3478
    data_factor: float = 2085.43
    data_exponent: float = 0.3658
    min_parameters: float = 70e6  # of the runs that it was fitted to
    max_parameters: float = 16e9
    min_tokens: float = 5e9
    max_tokens: float = 500e9
    error: float = 0.12  # relative; text and tokens of others (docs/scale.md)

    def predict_loss(self, num_parameters: float, num_tokens: float) -> float:
        """Predict the nats per token."""
        size_loss = self.size_factor / num_parameters**self.size_exponent
        return self.floor + size_loss + self.data_factor / num_tokens**self.data_exponent

    def is_valid(self, num_parameters: float, num_tokens: float) -> bool:
        """Return whether the law was fitted to such runs."""
        has_size = self.min_parameters <= num_parameters <= self.max_parameters
        return has_size and self.min_tokens <= num_tokens <= self.max_tokens


def measure_chinchilla_gap(num_parameters: int, num_tokens: int) -> float:
    """Return the doublings between a size and the optimal one, a twentieth of the tokens (Hoffmann et al. 2022)."""
    return abs(log2(max(num_tokens, 1) / (20 * max(num_parameters, 1))))


def estimate_eval_seconds(seconds_per_unit: float, eval_reads: int) -> float:
    """Estimate the duration of evaluations that read this much; a forward pass takes a third of a training step."""
    return eval_reads * seconds_per_unit / 3


def choose_eval_share(eval_seconds: float, limit_seconds: float) -> float:
    """Return the share of the held-out data to read where all evaluations of it would take `eval_seconds`.

    `limit_seconds` is the time of the whole run; 0: unlimited.
    """
    if not limit_seconds or eval_seconds <= MAX_EVAL_FRACTION * limit_seconds:
        return 1.0
    return round(max(MAX_EVAL_FRACTION * limit_seconds / eval_seconds, MIN_EVAL_SHARE), 3)


def check_memory(plan: TrainConfig, num_parameters: int, activation_bytes: int, available_bytes: int) -> int:
    """Return the bytes that a run needs, with those of this process. Raises ValueError if fewer are available."""
    required_bytes = estimate_memory(plan, num_parameters, activation_bytes)
    require_memory(required_bytes, available_bytes)
    return required_bytes


def require_memory(required_bytes: int, available_bytes: int) -> None:
    if required_bytes > available_bytes:
        raise GenloomError("train.out_of_memory", required_gb=required_bytes / 1e9, available_gb=available_bytes / 1e9)


def estimate_memory(plan: TrainConfig, num_parameters: int, activation_bytes: int) -> int:
    """Estimate the bytes of a run, with those of this process."""
    return estimate_training_memory(plan, num_parameters, activation_bytes) + psutil.Process().memory_info().rss


def estimate_training_memory(plan: TrainConfig, num_parameters: int, activation_bytes: int) -> int:
    """Estimate the bytes of weights, gradients, optimizer, low-precision copy and EMA, and of activations or saving."""
    ema_bytes = 4 * num_parameters * plan.num_averages
    state_bytes = 8 if plan.optimizer.family == "muon" else 12
    save_bytes = state_bytes * num_parameters + ema_bytes  # a checkpoint is serialised in memory
    return int(18 * num_parameters + ema_bytes + max(activation_bytes, save_bytes))


def count_activation_bytes_per_sequence(design: Design, plan: TrainConfig) -> int:
    """Return the activation bytes of a sequence, as the network's module counts them."""
    module = plugins.find_part("network", design.network)
    config = parse_settings(module.Config, design.network_settings, "network")
    count_activations = plugins.get_hook("network", design.network, "activations_per_token")
    values_per_token = count_activations(config, design.context_length) if count_activations else 0
    return design.context_length * (values_per_token * count_bytes_per_element(plan) + 4096 * 4)


def count_activation_bytes_per_sample(
    objective: Objective[Batch], parts: Parts, batch: Batch, plan: TrainConfig
) -> int:
    """Measure the activation bytes of a sample in a forward pass over a small batch."""
    weight_pointers = {p.untyped_storage().data_ptr() for part in parts.values() for p in part.parameters()}
    max_bytes = 0
    for phase in objective.phases:
        bytes_by_pointer: dict[int, int] = {}

        def record_storage(t: Tensor, bytes_by_pointer: dict[int, int] = bytes_by_pointer) -> Tensor:
            storage = t.untyped_storage()
            if storage.data_ptr() not in weight_pointers:
                bytes_by_pointer[storage.data_ptr()] = storage.nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(record_storage, lambda t: t):
            loss = objective.loss(parts, batch, phase, build_training_noise(plan.seed, 0, 0, len(batch)))
        max_bytes = max(max_bytes, sum(bytes_by_pointer.values()))
        del loss
    return max_bytes // len(batch) * count_bytes_per_element(plan) // 4


def count_bytes_per_element(plan: TrainConfig) -> int:
    """Return the size of a number in the forward pass."""
    return 2 if plan.precision == "bfloat16" else 4
