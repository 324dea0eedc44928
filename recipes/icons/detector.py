"""Trains the detector that evaluates prompt following, on generated scenes.

    python -m recipes.icons.detector PACKAGES genloom/evaluate/image/prompted
    python -m recipes.icons.detector PACKAGES OUT --prompts bench/icons_other_prompts.jsonl --steps 6000

PACKAGES is the folder of the npm packages of `recipes.icons.fetch`; prompts.jsonl must already be in the other folder.
It takes about fifteen minutes on one processor core. With --prompts, the detector also learns the nouns of that file
that the vocabulary lacks, and its accuracy on real scenes of these prompts is measured.

Shape letters: B images, N nouns, H height, W width of the maps.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from genloom.evaluate.image.detector import (
    CELL_SIZE,
    INPUT_SIZE,
    Detector,
    DetectorLabels,
    DetectorNetwork,
    load_detector,
)
from genloom.evaluate.image.prompt_following import RequestedObject, ScenePrompt, is_prompt_satisfied
from genloom.noise import Noise
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import Batch, Condition, Loss, NetworkSpec, Parts, Phase, SignalSpace
from recipes.icons.colours import NAMES
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MAIN, MIXTURE
from recipes.icons.plans import Plan as Scenery
from recipes.icons.plans import Thing, sample_plan
from recipes.icons.scenes import Painter, Scene
from recipes.icons.things import OtherThing, list_other_things
from recipes.icons.vocabulary import NOUNS

ROWS = 64
GRID = INPUT_SIZE // CELL_SIZE
TRAINING, CHOOSING, MEASURING = 1, 2, 3  # seeds of disjoint sets of scenes


@dataclass(frozen=True)
class DetectionObjective:
    """Centres as peaks of a map per noun, and the colour at each centre; the targets of a batch are `cond.field`."""

    labels: DetectorLabels
    phases = (Phase("model", ("model",)),)

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        maps = SignalSpace(len(self.labels.nouns) + len(self.labels.colours), (GRID, GRID))
        return {"model": NetworkSpec(SignalSpace(3, (INPUT_SIZE, INPUT_SIZE)), maps)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Penalty-reduced focal loss of the centres (Zhou et al. 2019, equation 1), cross-entropy of the colours."""
        assert batch.cond is not None
        assert batch.cond.field is not None
        logits = parts["model"](batch.x).float()
        count = len(self.labels.nouns)
        truth_BNHW, colour_BHW = batch.cond.field[:, :count], batch.cond.field[:, count].long()
        heat = logits[:, :count]
        p = heat.sigmoid()
        hit = -F.logsigmoid(heat) * (1 - p).square() * (truth_BNHW == 1)
        miss = -F.logsigmoid(-heat) * p.square() * (1 - truth_BNHW) ** 4
        colour = F.cross_entropy(logits[:, count:], colour_BHW, ignore_index=-1, reduction="none")
        centres_B = (truth_BNHW == 1).flatten(1).sum(1)
        return Loss((hit + miss).flatten(1).sum(1) + colour.flatten(1).sum(1), centres_B)


def sample_scenes(
    painter: Painter, seed: int, step: int, count: int, others: Mapping[str, Sequence[OtherThing]] | None
) -> list[Scene]:
    """Sample scenes of any plan, including those that no generator is trained on."""
    scenes: list[Scene] = []
    rng = np.random.default_rng((seed, step))
    while len(scenes) < count:
        if (scene := painter.paint(sample_plan(rng, others), rng)) is not None:
            scenes.append(scene)
    return scenes


def build_targets(scene: Scene, labels: DetectorLabels) -> np.ndarray:
    """Return a map per noun with a Gaussian of height 1 at each centre, and a last map of colour indices, or -1."""
    maps = np.zeros((len(labels.nouns) + 1, GRID, GRID), np.float32)
    maps[-1] = -1
    at = np.arange(GRID)
    for thing in scene.objects:
        left, top, right, bottom = (GRID * edge for edge in thing.box)
        column, row = (min(int((a + b) / 2), GRID - 1) for a, b in ((left, right), (top, bottom)))
        spread = 0.6 + 0.07 * max(right - left, bottom - top)
        bell = np.exp(-((at[:, None] - row) ** 2 + (at[None, :] - column) ** 2) / (2 * spread**2))
        noun = labels.nouns.index(thing.noun)
        maps[noun] = np.maximum(maps[noun], bell)
        if thing.colour:
            maps[-1, row, column] = labels.colours.index(thing.colour)
    return maps


def degrade_images(x_BCHW: Tensor, seed: int) -> Tensor:
    """Degrade images as a model may: some blurred, some noisy, slightly brighter or darker."""
    rng = torch.Generator().manual_seed(seed)
    rows = []
    for x in x_BCHW.split(1):
        which = torch.rand(4, generator=rng)
        if which[0] < 0.5:
            small = F.interpolate(x, size=int(24 + 40 * which[1]), mode="bilinear", antialias=True)
            x = F.interpolate(small, size=INPUT_SIZE, mode="bilinear")
        x = x * (0.9 + 0.2 * which[2]) + 0.1 * which[3] * torch.randn(x.shape, generator=rng)
        rows.append(x.clamp(-1, 1))
    return torch.cat(rows)


def build_batch(
    painter: Painter, step: int, labels: DetectorLabels, others: Mapping[str, Sequence[OtherThing]] | None
) -> Batch:
    scenes = sample_scenes(painter, TRAINING, step, ROWS, others)
    x = torch.from_numpy(np.stack([scene.picture for scene in scenes])).permute(0, 3, 1, 2).float() / 127.5 - 1
    maps = torch.from_numpy(np.stack([build_targets(scene, labels) for scene in scenes]))
    return Batch(degrade_images(x, step), Condition(field=maps))


def score_scenes(detector: Detector, scenes: list[Scene]) -> Iterator[tuple[bool, bool]]:
    """Yield for each scene whether exactly its objects are detected, and whether their named colours are too."""
    for scene, detections in zip(scenes, detector.detect([scene.picture for scene in scenes]), strict=True):
        has_objects = sorted(t.noun for t in scene.objects) == sorted(d.noun for d in detections)
        expected = sorted((t.noun, t.colour) for t in scene.objects if t.colour)
        detected = [(d.noun, d.colour) for d in detections]
        yield has_objects, has_objects and all(detected.count(pair) >= expected.count(pair) for pair in expected)


def choose_threshold(network: DetectorNetwork, scenes: list[Scene], base: DetectorLabels) -> DetectorLabels:
    """Return the labels with the threshold at which most scenes are detected correctly."""
    candidates = [replace(base, threshold=at / 20) for at in range(4, 13)]
    return max(candidates, key=lambda labels: sum(ok for ok, _ in score_scenes(Detector(network, labels), scenes)))


def measure_upper_bound(
    detector: Detector, painter: Painter, prompts: Path, icons: Mapping[str, OtherThing]
) -> dict[str, float]:
    """Return the share of real scenes that the detector accepts, by task; three scenes per prompt."""
    results: dict[str, list[bool]] = {}
    for number, line in enumerate(prompts.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        scene_prompt = ScenePrompt(
            row["task"], row["prompt"], tuple(RequestedObject(**thing) for thing in row["objects"]), row["relation"]
        )
        plan = Scenery(tuple(build_thing(t, icons) for t in scene_prompt.objects), row["relation"], row["place"])
        rng = np.random.default_rng((MEASURING, number))
        painted = [scene for scene in (painter.paint(plan, rng) for _ in range(3)) if scene is not None]
        detections = detector.detect([scene.picture for scene in painted])
        results.setdefault(scene_prompt.task, []).extend(is_prompt_satisfied(scene_prompt, d) for d in detections)
    return {task: float(np.mean(values)) for task, values in results.items()}


def build_thing(requested: RequestedObject, icons: Mapping[str, OtherThing]) -> Thing:
    """Return the thing that a prompt asks for; `icons` has those beyond the vocabulary by their nouns."""
    if (other := icons.get(requested.noun)) is None:
        return Thing(requested.noun, requested.colour, requested.count)
    return Thing(requested.noun, count=requested.count, icon=other.icon, plural=other.plural)


def list_other_nouns(prompts: Path) -> set[str]:
    """Return the nouns of the prompts that the vocabulary lacks."""
    rows = map(json.loads, prompts.read_text(encoding="utf-8").splitlines())
    return {thing["noun"] for row in rows for thing in row["objects"]} - NOUNS.keys()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--begin", type=Path, help="detector of the same nouns to initialise from")
    parser.add_argument("--prompts", type=Path, help="prompts whose other nouns are learned too, and measured")
    args = parser.parse_args()
    words, prompts = fetch_package(WORDS, args.packages), args.prompts or args.out / "prompts.jsonl"
    others, icons, svgs = None, {}, {}
    for name in MIXTURE if args.prompts else (MAIN,):
        for icon in read_icons(name, fetch_package(SETS[name], args.packages), words):
            svgs |= {f"{icon.set}/{icon.name}": icon.svg} | ({icon.name: icon.svg} if name == MAIN else {})
            icons.setdefault(name, []).append(icon)
    named = {}
    if args.prompts:
        wanted = list_other_nouns(prompts)
        things = list_other_things(icon for some in icons.values() for icon in some)
        others = {role: [thing for thing in things[role] if thing.noun in wanted] for role in things}
        named = {thing.noun: thing for some in others.values() for thing in reversed(some)}
    base = DetectorLabels((*NOUNS, *sorted(named)), tuple(NAMES))
    painter = Painter(svgs, INPUT_SIZE)
    torch.manual_seed(0)
    parts = nn.ModuleDict(
        {"model": load_detector(args.begin).network.requires_grad_() if args.begin else DetectorNetwork(base)}
    )
    plan = TrainConfig(args.steps, warmup=30, ema_decay=0.995, precision="bfloat16")
    objective: Any = DetectionObjective(base)  # it cannot sample
    state = TrainState.from_parts(parts, objective, plan)
    for progress in train(objective, lambda step: build_batch(painter, step, base, others), plan, state):
        if progress.step % 50 == 0:
            print(f"step {progress.step}: loss per object {progress.losses['model']:.3f}", flush=True)
    network = state.eval_parts["model"]
    assert isinstance(network, DetectorNetwork)
    network.bfloat16().float().eval().requires_grad_(False)  # as stored
    labels = choose_threshold(network, sample_scenes(painter, CHOOSING, 0, 600, others), base)
    labels = replace(labels, bound=measure_upper_bound(Detector(network, labels), painter, prompts, named))
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, args.out / "detector.safetensors", {"labels": json.dumps(asdict(labels))})
    scenes = sample_scenes(painter, MEASURING, 0, 1000, others)
    measured = np.array(list(score_scenes(Detector(network, labels), scenes)))
    print(f"1,000 new scenes: objects {measured[:, 0].mean():.3f}, with colours {measured[:, 1].mean():.3f}")
    print(f"real scenes of the prompts: {labels.bound}, threshold {labels.threshold}")


if __name__ == "__main__":
    main()
