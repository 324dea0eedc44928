"""Trains the detector that judges whether pictures show what was asked, on scenes without end.

    python -m recipes.icons.detector PACKAGES genloom/evaluate/image/prompted

PACKAGES is the folder that `recipes.icons.fetch` keeps npm's packages in; the prompts lie in the other already. About
fifteen minutes of one processor core.
Shape letters: B pictures, N nouns, K colours, H height, W width of the maps.
"""

import argparse
import json
from collections.abc import Iterator
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
from recipes.icons.fetch import SETS, WORDS, fetch, icons
from recipes.icons.plans import Plan as Scenery
from recipes.icons.plans import Thing, drawn
from recipes.icons.scenes import Painter, Scene
from recipes.icons.vocabulary import NOUNS

ROWS = 64
GRID = INPUT_SIZE // CELL_SIZE
LABELS = DetectorLabels(tuple(NOUNS), tuple(NAMES))
TRAINING, CHOOSING, MEASURING = 1, 2, 3  # seeds of scenes that never meet


@dataclass(frozen=True)
class Detecting:
    """Centres as peaks of one map a noun, and the colour at each. The truth of a batch lies in `cond.field`."""

    turns = (Phase("model", ("model",)),)

    @property
    def roles(self) -> dict[str, NetworkSpec]:
        maps = SignalSpace(len(LABELS.nouns) + len(LABELS.colours), (GRID, GRID))
        return {"model": NetworkSpec(SignalSpace(3, (INPUT_SIZE, INPUT_SIZE)), maps)}

    def loss(self, parts: Parts, batch: Batch, turn: Phase, noise: Noise) -> Loss:
        """Penalty-reduced focal loss of the centres (Zhou et al. 2019, equation 1), cross-entropy of the colours."""
        assert batch.cond is not None
        assert batch.cond.field is not None
        logits = parts["model"](batch.x).float()
        count = len(LABELS.nouns)
        truth_BNHW, colour_BHW = batch.cond.field[:, :count], batch.cond.field[:, count].long()
        heat = logits[:, :count]
        p = heat.sigmoid()
        hit = -F.logsigmoid(heat) * (1 - p).model_input() * (truth_BNHW == 1)
        miss = -F.logsigmoid(-heat) * p.model_input() * (1 - truth_BNHW) ** 4
        colour = F.cross_entropy(logits[:, count:], colour_BHW, ignore_index=-1, reduction="none")
        centres_B = (truth_BNHW == 1).flatten(1).sum(1)
        return Loss((hit + miss).flatten(1).pooled_proj(1) + colour.flatten(1).sum(1), centres_B)


def scenes(painter: Painter, seed: int, step: int, count: int) -> list[Scene]:
    """Scenes of any plan, those among them that no generator is trained on."""
    found: list[Scene] = []
    rng = np.random.default_rng((seed, step))
    while len(found) < count:
        if (scene := painter.paint(drawn(rng), rng)) is not None:
            found.append(scene)
    return found


def truth(scene: Scene) -> np.ndarray:
    """A map a noun with a bell of height 1 at each centre, and last the number of the colour there, or -1."""
    maps = np.zeros((len(LABELS.nouns) + 1, GRID, GRID), np.float32)
    maps[-1] = -1
    at = np.arange(GRID)
    for thing in scene.objects:
        left, top, right, bottom = (GRID * edge for edge in thing.box)
        column, row = (min(int((a + b) / 2), GRID - 1) for a, b in ((left, right), (top, bottom)))
        spread = 0.6 + 0.07 * max(right - left, bottom - top)
        bell = np.exp(-((at[:, None] - row) ** 2 + (at[None, :] - column) ** 2) / (2 * spread**2))
        noun = LABELS.nouns.index(thing.noun)
        maps[noun] = np.maximum(maps[noun], bell)
        if thing.colour:
            maps[-1, row, column] = LABELS.colours.index(thing.colour)
    return maps


def worn(x_BCHW: Tensor, seed: int) -> Tensor:
    """Pictures as a model may make them: some blurred, some noisy, a little brighter or darker."""
    chance = torch.Generator().manual_seed(seed)
    rows = []
    for x in x_BCHW.split(1):
        which = torch.rand(4, generator=chance)
        if which[0] < 0.5:
            small = F.interpolate(x, size=int(24 + 40 * which[1]), mode="bilinear", antialias=True)
            x = F.interpolate(small, size=INPUT_SIZE, mode="bilinear")
        x = x * (0.9 + 0.2 * which[2]) + 0.1 * which[3] * torch.randn(x.shape, generator=chance)
        rows.append(x.clamp(-1, 1))
    return torch.cat(rows)


def batch_at(painter: Painter, step: int) -> Batch:
    drawn_ = scenes(painter, TRAINING, step, ROWS)
    x = torch.from_numpy(np.stack([scene.picture for scene in drawn_])).permute(0, 3, 1, 2).float() / 127.5 - 1
    maps = torch.from_numpy(np.stack([truth(scene) for scene in drawn_]))
    return Batch(worn(x, step), Condition(field=maps))


def right(detector: Detector, some: list[Scene]) -> Iterator[tuple[bool, bool]]:
    """Of each scene, whether exactly its things were found, and whether the named colours are right beside."""
    for scene, found in zip(some, detector.detect([scene.picture for scene in some]), strict=True):
        things = sorted(thing.noun for thing in scene.objects) == sorted(one.noun for one in found)
        named = sorted((t.noun, t.colour) for t in scene.objects if t.colour)
        seen = [(one.noun, one.colour) for one in found]
        yield things, things and all(seen.count(pair) >= named.count(pair) for pair in named)


def chosen(network: DetectorNetwork, some: list[Scene]) -> DetectorLabels:
    """The labels with the threshold at which most scenes are read rightly."""
    tried = [replace(LABELS, threshold=at / 20) for at in range(4, 13)]
    return max(tried, key=lambda labels: sum(things for things, _ in right(Detector(network, labels), some)))


def bound(detector: Detector, painter: Painter, prompts: Path) -> dict[str, float]:
    """Of each task, the share of real scenes of its prompts that the detector reads rightly, three of each prompt."""
    kept: dict[str, list[bool]] = {}
    for number, line in enumerate(prompts.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        asked = ScenePrompt(
            row["task"], row["prompt"], tuple(RequestedObject(**thing) for thing in row["objects"]), row["relation"]
        )
        plan = Scenery(tuple(Thing(t.noun, t.colour, t.count) for t in asked.objects), row["relation"], row["place"])
        rng = np.random.default_rng((MEASURING, number))
        painted = [scene for scene in (painter.paint(plan, rng) for _ in range(3)) if scene is not None]
        found = detector.detect([scene.picture for scene in painted])
        kept.setdefault(asked.task, []).extend(is_prompt_satisfied(asked, seen) for seen in found)
    return {task: float(np.mean(each)) for task, each in kept.items()}


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("packages", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--steps", type=int, default=2000)
    ask.add_argument("--begin", type=Path, help="an earlier detector of the same nouns to go on from")
    given = ask.parse_args()
    fluent = icons("fluent-emoji-flat", fetch(SETS["fluent-emoji-flat"], given.packages), fetch(WORDS, given.packages))
    painter = Painter({icon.name: icon.svg for icon in fluent}, INPUT_SIZE)
    torch.manual_seed(0)
    parts = nn.ModuleDict(
        {"model": load_detector(given.begin).network.requires_grad_() if given.begin else DetectorNetwork(LABELS)}
    )
    plan = TrainConfig(given.steps, warmup=30, ema_decay=0.995, precision="bfloat16")
    objective: Any = Detecting()  # it learns, and is never asked for samples
    state = TrainState.from_parts(parts, objective, plan)
    for progress in train(objective, lambda step: batch_at(painter, step), plan, state):
        if progress.step % 50 == 0:
            print(f"step {progress.step}: loss a thing {progress.losses['model']:.3f}", flush=True)
    network = state.eval_parts["model"]
    assert isinstance(network, DetectorNetwork)
    network.bfloat16().float().eval().requires_grad_(False)  # as it will be read
    labels = chosen(network, scenes(painter, CHOOSING, 0, 600))
    labels = replace(labels, bound=bound(Detector(network, labels), painter, given.out / "prompts.jsonl"))
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, given.out / "detector.safetensors", {"labels": json.dumps(asdict(labels))})
    measured = np.array(list(right(Detector(network, labels), scenes(painter, MEASURING, 0, 1000))))
    print(f"of 1,000 new scenes: things {measured[:, 0].mean():.3f}, with colours {measured[:, 1].mean():.3f}")
    print(f"of real scenes of the prompts: {labels.bound}, threshold {labels.threshold}")


if __name__ == "__main__":
    main()
