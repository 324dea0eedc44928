"""Few steps against many: Fréchet distance, and seconds for one picture and for a batch of sixteen.

    python bench/pictures_sampling.py --model icons --steps 40 --preset draft
    python bench/pictures_sampling.py --model icons --fast icons-fast --preset "" --few 4     # two models

Captions are those of new scenes of the recipe `recipes/icons`; the Fréchet distance is to these scenes, in
EfficientNet-Lite0 features. Both ways take turns in time.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import paired

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the recipe

from genloom.evaluate.features.efficientnet import build_extractor
from genloom.generate import engine, presets
from genloom.metrics.frechet import frechet_distance, kernel_distance
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from recipes.icons.fetch import SETS, WORDS, fetch, read_icons
from recipes.icons.make import MAIN
from recipes.icons.scenes import Painter

SEED = 777  # of scenes that no recipe trains on


def made(model: Model, captions: list[str], controls: dict[str, Any]) -> list[np.ndarray]:
    asked = engine.build_request(captions, 1, 0, (), controls, engine.get_nonce_pool_size(model.codec.space))
    return [item for portion in engine.split_batches(asked) for item in engine.run_request(model, portion).values]


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--model", default="icons")
    ask.add_argument("--fast", default="", help="another model for the few steps; default: the same")
    ask.add_argument("--workspace")
    ask.add_argument("--steps", type=int, default=40)
    ask.add_argument("--guidance-scale", type=float)
    ask.add_argument("--solver", default="", help="of the many steps; default: the sampler's own")
    ask.add_argument("--preset", default="draft", help="the settings of the few steps")
    ask.add_argument("--few", type=int, default=0, help="steps, where not as many as the preset says")
    ask.add_argument("--count", type=int, default=300, help="pictures of the Fréchet distance")
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--precision", default="float32", help="that the models compute in")
    ask.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    given = ask.parse_args()
    torch.set_num_threads(given.threads)
    workspace = Workspace.from_option(given.workspace)
    slow, fast = (load_model(workspace, ref, (), given.precision) for ref in (given.model, given.fast or given.model))
    many = {"steps": given.steps, "solver": given.solver or None, "guidance_scale": given.guidance_scale}
    few: dict[str, Any] = {}
    for preset in presets.get_presets([given.preset] if given.preset else [], workspace.root):
        few |= preset.params
    few |= {"steps": given.few} if given.few else {}
    drawn = read_icons(MAIN, fetch(SETS[MAIN], given.packages), fetch(WORDS, given.packages))
    painter = Painter({icon.name: icon.svg for icon in drawn})
    scenes = [painter.scene(SEED, number) for number in range(given.count)]
    captions, extract = [scene.caption for scene in scenes], build_extractor()
    real = extract(scene.picture for scene in scenes)
    print(f"{given.threads} threads, {given.count} captions of new scenes, {given.precision}", flush=True)
    distances = []
    for model, controls in ((slow, many), (fast, few)):
        features = extract(made(model, captions, controls))
        distances.append(frechet_distance(features, real))
        print(
            f"{model.ref}, {controls['steps']} steps: Fréchet distance {distances[-1]:.2f}, "
            f"kernel distance {kernel_distance(features, real):.4f}",
            flush=True,
        )
    print(f"Fréchet distance of {few['steps']} steps: {distances[1] / distances[0] - 1:+.1%} of that of {given.steps}")
    for count in (1, 16):
        told = captions[:count]
        times = paired(lambda told=told: made(fast, told, few), lambda told=told: made(slow, told, many), given.rounds)
        print(
            f"{count:2d} at once: {few['steps']} steps {times.first} s, {given.steps} steps {times.second} s; "
            f"{times.ratio} times faster, median [least, greatest] of {given.rounds}",
            flush=True,
        )


if __name__ == "__main__":
    main()
