"""Genloom's flow against diffusers' own example (UNet2DModel, DDPM): same pictures, parameters and processor minutes.

    python bench/pictures.py                                  # about a quarter of an hour on two quiet cores
    python bench/pictures.py --minutes 10 --count 1000

The data are captionless icons and scenes of 32 × 32 pixels from the recipe `recipes/icons`. The peer is the training
loop of diffusers' documentation ("Train a diffusion model": AdamW 1e-4, batch 16, cosine schedule with warm-up, noise
prediction, gradients clipped at 1), in float32 or bfloat16 autocast, whichever trains faster here, sampled by its
DDIMScheduler with as many network evaluations as ours. First both take turns for speed; then each trains for the same
processor time, in turns too. Fréchet distances are to the same real pictures, in EfficientNet-Lite0 features.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import Spread
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the recipe

from genloom import plugins
from genloom.evaluate.features.efficientnet import build_extractor
from genloom.metrics.frechet import frechet_distance, kernel_distance
from genloom.noise import Noise
from genloom.objectives.flow import Flow, SamplingParams
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, SignalSpace
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MIXTURE, Maker

SIZE, ROWS, PEER_ROWS = 32, 64, 16
PEER_CHANNELS = (64, 64, 128)
NETWORK = {"dit": {"width": 256, "depth": 5, "patch_size": 4}, "unet": {"width": 40, "head_width": 40}}
SLICE = 10.0  # processor seconds of a turn


@dataclass
class Contender:
    """A training run that yields after every step, the pictures of a step, and how it samples when it is done."""

    name: str
    rows: int
    begin: Callable[[int], tuple[Iterator[Any], Callable[[int, int], np.ndarray]]]  # steps; (count, evaluations)
    parameters: int = 0


def render_pictures(maker: Maker, seed: int, count: int) -> np.ndarray:
    return np.stack([maker.picture(seed, number).pixels for number in range(count)])


def scale_pixels(pixels_NHWC: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(x_NCHW: Tensor) -> np.ndarray:
    return ((x_NCHW.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def build_genloom(data: Tensor, network: str) -> Contender:
    objective = Flow(SignalSpace(3, (SIZE, SIZE)))
    module = plugins.find_part("network", network)
    config = module.Config(**NETWORK[network])

    def begin(steps: int) -> tuple[Iterator[Any], Callable[[int, int], np.ndarray]]:
        torch.manual_seed(0)
        parts = nn.ModuleDict({"model": module.build(objective.network_specs["model"], config)})
        rates = OptimizerConfig(lr_matrix=0.02, lr_embedding=0.01, lr_vector=0.003)
        plan = TrainConfig(steps, warmup=20, precision="bfloat16", ema_decay=0.999, optimizer=rates)
        state = TrainState.from_parts(parts, objective, plan)

        def batch(step: int) -> Batch:
            indices = np.random.default_rng((1, step)).integers(0, len(data), ROWS)
            return Batch(data[indices])

        def sample(count: int, evaluations: int) -> np.ndarray:
            found = []
            for first in range(0, count, 50):
                noise = Noise(0, tuple(range(first, min(first + 50, count))))
                eval_parts = dict(state.eval_parts.bfloat16().eval().items())
                controls = SamplingParams(steps=evaluations, solver="multistep")
                *_, last = objective.sample(eval_parts, len(noise.nonces), None, noise, controls)
                found.append(to_pixels(last))
            return np.concatenate(found)

        return train(objective, batch, plan, state), sample

    count = sum(p.numel() for p in module.build(objective.network_specs["model"], config).parameters())
    return Contender(f"Genloom flow, {network}", ROWS, begin, count)


def build_diffusers(data: Tensor, bf16: bool) -> Contender:
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_cosine_schedule_with_warmup

    def build() -> Any:
        return UNet2DModel(
            sample_size=SIZE, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=PEER_CHANNELS,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip

    def begin(steps: int) -> tuple[Iterator[Any], Callable[[int, int], np.ndarray]]:
        torch.manual_seed(0)
        model: Any = build()
        scheduler: Any = DDPMScheduler(num_train_timesteps=1000)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        # The example warms up for 500 steps, which is longer than short runs are.
        schedule = get_cosine_schedule_with_warmup(optimizer, min(500, steps // 10), steps)

        def training() -> Iterator[None]:
            for step in range(steps):
                clean = data[np.random.default_rng((1, step)).integers(0, len(data), PEER_ROWS)]
                noise = torch.randn(clean.shape)
                times = torch.randint(0, 1000, (len(clean),), dtype=torch.int64)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    found = model(scheduler.add_noise(clean, noise, times), times, return_dict=False)[0]
                    loss = nn.functional.mse_loss(found.float(), noise)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                yield

        @torch.inference_mode()
        def sample(count: int, evaluations: int) -> np.ndarray:
            model.eval()
            solver: Any = DDIMScheduler.from_config(scheduler.config)
            found = []
            solver.set_timesteps(evaluations)
            for first in range(0, count, 50):
                chance = torch.Generator().manual_seed(first)
                x = torch.randn(min(50, count - first), 3, SIZE, SIZE, generator=chance)
                for t in solver.timesteps:
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                        velocity = model(x, t, return_dict=False)[0].float()
                    x = solver.step(velocity, t, x, return_dict=False)[0]
                found.append(to_pixels(x))
            return np.concatenate(found)

        return training(), sample

    kind = "bfloat16" if bf16 else "float32"
    return Contender(f"diffusers DDPM, {kind}", PEER_ROWS, begin, sum(p.numel() for p in build().parameters()))


def measure_speeds(contenders: list[Contender], rounds: int, steps: int) -> dict[str, list[float]]:
    """Pictures a second of each, in turns; the first step of a turn does not count."""
    found: dict[str, list[float]] = {one.name: [] for one in contenders}
    for _ in range(rounds):
        for one in contenders:
            training, _ = one.begin(steps + 1)
            next(training)
            started = time.perf_counter()
            for _ in training:
                pass
            found[one.name].append(steps * one.rows / (time.perf_counter() - started))
    return found


def train_in_turn(contenders: list[Contender], minutes: float) -> Iterator[tuple[Contender, int, Callable]]:
    """Each trained for so many processor minutes, in turns; with the pictures it has seen, and its sampler."""
    runs = []
    for one in contenders:
        training, _ = one.begin(6)
        next(training)
        started = time.process_time()
        num_steps = sum(1 for _ in training)
        steps = max(int(60 * minutes / ((time.process_time() - started) / num_steps)), 20)
        runs.append((one, steps, *one.begin(steps)))
    left = [run[2] for run in runs]
    while left:
        for training in list(left):
            started = time.process_time()
            while time.process_time() - started < SLICE:
                if next(training, training) is training:
                    left.remove(training)
                    break
    for one, steps, _, sample in runs:
        yield one, steps * one.rows, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="processor minutes of training, each")
    parser.add_argument("--count", type=int, default=300, help="pictures that each makes for the Fréchet distance")
    parser.add_argument("--evaluations", type=int, default=25, help="of the network for a picture")
    parser.add_argument("--data", type=int, default=6000, help="training pictures")
    parser.add_argument("--real", type=int, default=1000, help="real pictures that both are compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="training steps of a turn for speed")
    parser.add_argument("--network", default="dit", choices=NETWORK)
    parser.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    words = fetch_package(WORDS, args.packages)
    maker = Maker(
        {name: list(read_icons(name, fetch_package(SETS[name], args.packages), words)) for name in MIXTURE}, SIZE
    )
    data, real = scale_pixels(render_pictures(maker, 1, args.data)), render_pictures(maker, 2, args.real)
    own = build_genloom(data, args.network)
    peers = [build_diffusers(data, bf16) for bf16 in (False, True)]
    print(f"{torch.get_num_threads()} threads; {len(data):,} pictures of {SIZE} × {SIZE}; parameters: ", end="")
    print(f"{own.name} {own.parameters:,}, {peers[0].name} {peers[0].parameters:,}", flush=True)
    found = measure_speeds([own, *peers], args.rounds, args.steps)
    for name, each in found.items():
        print(f"{name:28s} {Spread.of(each)} training pictures/s, median [least, greatest] of {args.rounds}")
    peer = max(peers, key=lambda one: statistics.median(found[one.name]))
    ratio = Spread.of([a / b for a, b in zip(found[own.name], found[peer.name], strict=True)])
    print(f"training pictures/s: Genloom {ratio} × {peer.name}", flush=True)
    extract = build_extractor()
    real_features, distances = extract(real), {}
    other = frechet_distance(extract(render_pictures(maker, 3, args.count)), real_features)
    print(f"Fréchet distance of {args.count} other real pictures to the {args.real} real ones: {other:.2f}", flush=True)
    for one, learned, sample in train_in_turn([own, peer], args.minutes):
        generated = extract(sample(args.count, args.evaluations))
        distances[one.name] = frechet_distance(generated, real_features)
        print(
            f"{one.name:28s} {learned:,} pictures learned from in {args.minutes:g} processor minutes; {args.count} "
            f"made: Fréchet distance {distances[one.name]:.2f}, "
            f"kernel distance {kernel_distance(generated, real_features):.4f}",
            flush=True,
        )
    print(f"Fréchet distance: Genloom {1 - distances[own.name] / distances[peer.name]:.0%} lower than {peer.name}")


if __name__ == "__main__":
    main()
