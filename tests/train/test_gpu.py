"""Training on GPUs by the same code: like on a processor, in bfloat16, compiled, and on several with NCCL.

`make test-gpu` runs these tests; without a GPU they are skipped.
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SMALL_RATES = OptimizerConfig(lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)


def train_on(
    toys: ModuleType, name: str, device: str, plan: TrainConfig
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Return the losses of the last phase, and the weights on the processor."""
    toy = toys.get_toy(name)
    state = TrainState.from_parts(toys.build_networks(toy).to(device), toy.objective, plan)
    phase = toy.objective.phases[-1].name
    losses = [result.losses[phase] for result in train(toy.objective, toys.build_batches(toy, 8), plan, state)]
    return losses, {n: t.cpu() for n, t in state.parts.state_dict().items()}


@pytest.mark.parametrize("name", ["autoregressive-transformer", "flow-unet", "variational-dense", "adversarial-dense"])
def test_a_gpu_trains_like_a_processor(toys: ModuleType, name: str) -> None:
    plan = TrainConfig(steps=5, warmup=2, ema_decay=0.9, optimizer=SMALL_RATES)
    (losses, weights), (gpu_losses, gpu_weights) = (train_on(toys, name, each, plan) for each in ("cpu", "cuda"))
    assert gpu_losses == pytest.approx(losses, abs=1e-3)
    assert all(torch.allclose(gpu_weights[n], t.to(gpu_weights[n]), atol=2e-3) for n, t in weights.items())


@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"precision": "bfloat16", "torch_compile": True}])
def test_low_precision_and_compiled_programs_learn_on_a_gpu(toys: ModuleType, settings: dict) -> None:
    plan = replace(toys.get_toy("autoregressive-transformer").plan, steps=60, **settings)
    losses, _ = train_on(toys, "autoregressive-transformer", "cuda", plan)
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_on_a_gpu_reports_its_arithmetic(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    result = worlds.finish_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 12))
    assert result.actual["model_tflops_per_second"] > 0
    assert next(load_model(workspace, result.ref).parts.parameters()).is_cuda


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are fewer than two CUDA devices")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_gpus_end_in_the_weights_of_one(worlds: ModuleType, tmp_path: Path, strategy: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    data = worlds.create_dataset(workspace)
    one = worlds.finish_run(workspace, worlds.build_job(data, 12))
    two = worlds.finish_run(workspace, worlds.build_job(data, 12, parallel__strategy=strategy), devices=2)
    a, b = (load_model(workspace, ref).parts.state_dict() for ref in (one.ref, two.ref))
    assert all(torch.allclose(a[n], b[n], atol=1e-4) for n in a)
