"""Plans beside facts (docs/scale.md): published training runs, and the memory of fake devices.

python bench/plan.py               # hours, price and loss of published runs
python bench/plan.py --processes   # memory of 1, 2 and 4 processes of this machine
python bench/plan.py --simulate    # memory of up to 64 devices, by a step on fake ranks (a few minutes)
python bench/plan.py --simulate --params 7e9 --devices 64 --rows 1 --checkpointing   # of one run
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from genloom.memory import Memory
from genloom.model import Design, build_networks, build_objective
from genloom.text_format import format_markdown_table
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning.cluster_plan import ClusterPlan, RunSize
from genloom.train.planning.device_memory import Layout, Strategy, estimate_device_memory
from genloom.train.planning.devices import load_prices, parse_devices
from genloom.train.planning.job_plan import build_plan, predict_published_loss
from genloom.train.planning.network_sizes import design_network, find_space, measure_sizes
from genloom.types import Batch, TokenSpace


@dataclass(frozen=True)
class PublishedRun:
    """A run of others, with what its source says."""

    name: str
    source: str
    network: Mapping[str, object]
    vocab_size: int
    context_length: int
    tokens: float
    batch_tokens: int
    devices: str
    family: str = "adamw"  # of the optimizer
    hours: float = 0.0  # 0: not published
    dollars: float = 0.0
    loss: float = 0.0  # nats per token
    bits_per_byte: float = 0.0
    bytes_per_token: float = 0.0  # to convert them


GPT2 = {"width": 768, "depth": 12, "heads": 12, "activation": "gelu", "norm": "layer", "positions": "learned"}
SMOLLM = {"width": 576, "depth": 30, "heads": 9, "key_heads": 3, "mlp_width": 1536, "qk_norm": False}
RUNS = (
    PublishedRun(
        "GPT-2 124M on OpenWebText, nanoGPT",
        "github.com/karpathy/nanoGPT, README and config/train_gpt2.py",
        GPT2,
        50_304,
        1024,
        600_000 * 491_520,
        491_520,
        "8xA100-40GB",
        hours=96,
        loss=2.85,
    ),
    PublishedRun(
        "GPT-2 124M on FineWeb, llm.c",
        "github.com/karpathy/llm.c, discussion 481",
        GPT2,
        50_304,
        1024,
        10e9,
        524_288,
        "8xA100",
        hours=1.5,
        dollars=20,
        loss=3.29,
    ),
    PublishedRun(
        "nanochat's speedrun, depth 24",
        "github.com/karpathy/nanochat, dev/LEADERBOARD.md, run 1; bytes per token assumed",
        {"width": 1536, "depth": 24, "heads": 12, "activation": "relu2", "tie_embeddings": False},
        32_768,
        2048,
        16_704 * 524_288,
        524_288,
        "8xH100",
        family="muon",
        hours=3.04,
        dollars=73,
        bits_per_byte=0.748,
        bytes_per_token=4.7,
    ),
    PublishedRun(
        "SmolLM-135M",
        "huggingface.co/HuggingFaceTB/SmolLM-135M, model card and discussion 13",
        SMOLLM,
        49_152,
        2048,
        600e9,
        1_048_576,
        "64xH100",
        hours=24,
    ),
    PublishedRun(
        "SmolLM2-135M",
        "huggingface.co/HuggingFaceTB/SmolLM2-135M, model card (no time is given)",
        SMOLLM,
        49_152,
        2048,
        2e12,
        1_048_576,
        "64xH100",
    ),
)


def plan_published(run: PublishedRun) -> ClusterPlan:
    """Return the plan of a published run, with the speed of the table of prices."""
    design = Design(
        "bpe",
        "autoregressive",
        "transformer",
        run.context_length,
        codec_settings={"vocab_size": run.vocab_size},
        network_settings=run.network,
    )
    plan = TrainConfig(precision="bfloat16", optimizer=OptimizerConfig(family=run.family))
    sizes = measure_sizes(design, find_space(design), plan.optimizer)
    size = RunSize(sizes, plan, int(run.tokens), run.batch_tokens, run.context_length)
    devices = parse_devices(run.devices, load_prices(Path()))
    return build_plan(size, devices, None, *predict_published_loss(design, sizes, int(run.tokens)))


def describe_run(run: PublishedRun) -> tuple[str, ...]:
    """Return the row of a run: predicted and published, and how far they are apart."""
    plan = plan_published(run)
    loss = run.loss or run.bits_per_byte * log(2) * run.bytes_per_token
    return (
        run.name,
        f"{plan.run.sizes.parameters / 1e6:.0f} M",
        f"{run.tokens / 1e9:.0f} B",
        run.devices,
        compare(plan.seconds / 3600, run.hours, "{:.1f} h"),
        compare(plan.dollars or 0.0, run.dollars, "{:.0f} $"),
        compare(plan.expected_loss or 0.0, loss, "{:.2f}"),
        f"{plan.utilization * plan.seconds / 3600 / run.hours:.0%}" if run.hours else "–",
    )


@dataclass(frozen=True)
class Simulation:
    """A run whose memory a step on fake ranks measures."""

    parameters: int
    devices: int
    rows: int  # on each
    strategy: Strategy
    has_checkpointing: bool
    family: str = "adamw"


SIMULATIONS = (
    Simulation(124_000_000, 8, 4, "fsdp", False),
    Simulation(124_000_000, 8, 4, "fsdp", True),
    Simulation(1_000_000_000, 16, 2, "fsdp", False),
    Simulation(7_000_000_000, 64, 1, "fsdp", True),
    Simulation(7_000_000_000, 64, 8, "fsdp", True),
)


def simulate_run(run: Simulation) -> tuple[str, ...]:
    """Return the row of a run: the planned peak, that of the fake device, and their parts."""
    from genloom.train.parallel.simulation import fuse_norms, simulate_memory

    design = design_network(run.parameters)
    optimizer = OptimizerConfig(family=run.family)
    plan = TrainConfig(precision="bfloat16", activation_checkpointing=run.has_checkpointing, optimizer=optimizer)
    space = find_space(design)
    assert isinstance(space, TokenSpace)
    layout = Layout(run.devices, run.strategy, run.rows, space.context_length, has_checkpointing=run.has_checkpointing)
    planned = estimate_device_memory(measure_sizes(design, space, optimizer), plan, layout)
    kept = planned.weights + planned.optimizer
    endless = Memory(1 << 50, 1 << 50)  # of this machine, which holds none of it
    with fuse_norms(), patch("genloom.model.design.measure_memory", lambda: endless):
        found = simulate_memory(design, space, plan, run.devices, run.rows, run.strategy)
    return (
        f"{run.parameters / 1e9:g} B",
        f"{run.devices} × {run.rows} × {space.context_length:,}",
        f"{run.strategy}, {run.family}{', checkpointing' * run.has_checkpointing}",
        compare(kept / 1e9, found.kept / 1e9, "{:.2f} GB"),
        compare(planned.total / 1e9, found.peak / 1e9, "{:.2f} GB"),
    )


LOCAL_DESIGN = replace(
    design_network(20_000_000, 256, 8192),
    network_settings={"width": 256, "depth": 8, "heads": 4, "tie_embeddings": False},
)
LOCAL_PLAN = TrainConfig(steps=3, activation_checkpointing=True, optimizer=OptimizerConfig(family="adamw"))
LOCAL_ROWS = 2  # of each process


def train_process(rank: int, count: int, strategy: Strategy, store: Path, results: Any) -> None:
    """Train as one of several processes; the first one returns the bytes of its tensors at their peak."""
    from genloom.train.parallel.config import ParallelConfig
    from genloom.train.parallel.group import join_group
    from genloom.train.parallel.simulation import StorageMeter
    from genloom.train.parallel.strategy import build_parallel

    torch.set_num_threads(1)
    space = find_space(LOCAL_DESIGN)
    objective = build_objective(LOCAL_DESIGN, space)
    torch.manual_seed(0)
    parts = build_networks(LOCAL_DESIGN, objective)
    with join_group(store_file=store if count > 1 else None, rank=rank, world_size=count) as group:
        parallel = build_parallel(ParallelConfig(count, strategy), group)
        state = TrainState.from_parts(parts, objective, LOCAL_PLAN, parallel)
        tokens = torch.randint(8192, (count * LOCAL_ROWS, 256), generator=torch.Generator().manual_seed(1))
        with StorageMeter() as meter:
            meter.add(parts.parameters())
            for step in train(objective, lambda _: Batch(tokens), LOCAL_PLAN, state):
                if step.step < LOCAL_PLAN.steps:
                    meter.reset_peak()
    if rank == 0:
        results.put(meter.peak)


def measure_processes(count: int, strategy: Strategy) -> tuple[str, ...]:
    """Return the row of so many processes: the planned peak of each, and the one that a run has."""
    sizes = measure_sizes(LOCAL_DESIGN, find_space(LOCAL_DESIGN), LOCAL_PLAN.optimizer)
    layout = Layout(count, strategy, LOCAL_ROWS, 256, has_checkpointing=True)
    planned = estimate_device_memory(sizes, LOCAL_PLAN, layout)
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        results = context.Queue()
        shared = (count, strategy, Path(folder, "store"), results)
        processes = [context.Process(target=train_process, args=(rank, *shared)) for rank in range(count)]
        for process in processes:
            process.start()
        found = results.get(timeout=600)
        for process in processes:
            process.join()
    return str(count), strategy, compare(planned.total / 1e6, found / 1e6, "{:.0f} MB")


def compare(predicted: float, published: float, form: str) -> str:
    """Return both values and the relative error of the prediction, as far as they are known."""
    texts = [form.format(value) if value else "–" for value in (predicted, published)]
    error = f" ({predicted / published - 1:+.0%})" if predicted and published else ""
    return f"{texts[0]}, {texts[1]}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--params", type=float, help="of a run to simulate, in place of those of docs/scale.md")
    parser.add_argument("--devices", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--strategy", default="fsdp", choices=("ddp", "fsdp"))
    parser.add_argument("--family", default="adamw", choices=("muon", "adamw"))
    parser.add_argument("--checkpointing", action="store_true")
    args = parser.parse_args()
    if args.processes:
        print("Peak bytes of the tensors of each process: planned, measured (and the plan's error).\n")
        print(format_markdown_table(("processes", "strategy", "peak"), []), flush=True)
        for count, strategy in ((1, "ddp"), (2, "ddp"), (4, "ddp"), (2, "fsdp"), (4, "fsdp")):
            print("| " + " | ".join(measure_processes(count, strategy)) + " |", flush=True)
        return
    if args.simulate:
        print("Bytes of a device between steps and at their peak: planned, of a fake device (and the plan's error).\n")
        columns = ("parameters", "devices × rows", "strategy", "between steps", "peak")
        print(format_markdown_table(columns, []), flush=True)
        own = args.params and Simulation(
            int(args.params), args.devices, args.rows, args.strategy, args.checkpointing, args.family
        )
        for run in [own] if own else SIMULATIONS:
            print("| " + " | ".join(simulate_run(run)) + " |", flush=True)
        return
    header = ("run", "parameters", "tokens", "devices", "time", "price", "loss", "their utilization")
    print("Predicted, published (and the error of the prediction).\n")
    print(format_markdown_table(header, [describe_run(run) for run in RUNS]))
    print("\nSources:")
    for run in RUNS:
        print(f"- {run.name}: {run.source}")


if __name__ == "__main__":
    main()
