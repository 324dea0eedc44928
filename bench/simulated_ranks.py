"""Peak memory of each of many devices, simulated, against the plan: a model of billions on 64 fake ranks.

A real step of training runs with tensors that have sizes and no numbers, on a fake process group (torch's
FakeTensorMode and FakeProcessGroup); the plan is what `genloom plan` computes without it. It takes about a minute.
"""

import argparse
from dataclasses import replace

from genloom.model import build_meta_networks, build_objective
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.train.parallel.simulation import simulate_memory
from genloom.train.planning.device_memory import Layout, estimate_device_memory
from genloom.train.planning.network_sizes import design_network, measure_sizes
from genloom.types import TokenSpace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=float, default=7e9)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--vocab", type=int, default=32_768)
    parser.add_argument("--optimizer", default="adamw", choices=("muon", "adamw"))
    parser.add_argument("--strategy", default="fsdp", choices=("ddp", "fsdp"))
    parser.add_argument("--no-checkpointing", action="store_true")
    args = parser.parse_args()
    design = design_network(int(args.params), args.context, args.vocab)
    space = TokenSpace(args.vocab, args.context)
    optimizer = OptimizerConfig(args.optimizer)
    plan = replace(
        TrainConfig(precision="bfloat16", optimizer=optimizer), activation_checkpointing=not args.no_checkpointing
    )
    sizes = measure_sizes(design, space, optimizer)
    layout = Layout(args.ranks, args.strategy, args.rows, args.context, has_checkpointing=plan.activation_checkpointing)
    planned = estimate_device_memory(sizes, plan, layout)
    number = sum(p.numel() for p in build_meta_networks(design, build_objective(design, space)).parameters())
    measured = simulate_memory(design, space, plan, args.ranks, args.rows, args.strategy)
    print(f"{number / 1e9:.2f} billion parameters on {args.ranks} ranks ({args.strategy}, {args.optimizer}),")
    print(f"{args.rows} × {args.context} tokens a rank, checkpointing {'off' if args.no_checkpointing else 'on'}")
    print(f"simulated  peak {measured.peak / 1e9:.3f} GB a rank, {measured.kept / 1e9:.3f} GB between steps")
    print(f"planned    peak {planned.total / 1e9:.3f} GB a rank: {planned.to_json()}")
    print(f"plan / simulation {planned.total / measured.peak:.3f}")


if __name__ == "__main__":
    main()
