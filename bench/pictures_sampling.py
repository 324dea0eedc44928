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
from paired import time_paired

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the recipe

from genloom.evaluate.features.efficientnet import build_extractor
from genloom.generate import engine, presets
from genloom.metrics.frechet import frechet_distance, kernel_distance
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MAIN
from recipes.icons.scenes import Painter

SEED = 777  # of scenes that no recipe trains on


def generate_images(model: Model, captions: list[str], controls: dict[str, Any]) -> list[np.ndarray]:
    request = engine.build_request(captions, 1, 0, (), controls, engine.is_open_sequence(model.codec.space))
    return [item for portion in engine.split_batches(request) for item in engine.run_request(model, portion).values]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="icons")
    parser.add_argument("--fast", default="", help="another model for the few steps; default: the same")
    parser.add_argument("--workspace")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--solver", default="", help="of the many steps; default: the sampler's own")
    parser.add_argument("--preset", default="draft", help="the settings of the few steps")
    parser.add_argument("--few", type=int, default=0, help="steps, where not as many as the preset says")
    parser.add_argument("--count", type=int, default=300, help="pictures of the Fréchet distance")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32", help="that the models compute in")
    parser.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    workspace = Workspace.from_option(args.workspace)
    slow, fast = (load_model(workspace, ref, (), args.precision) for ref in (args.model, args.fast or args.model))
    many = {"steps": args.steps, "solver": args.solver or None, "guidance_scale": args.guidance_scale}
    few: dict[str, Any] = {}
    for preset in presets.get_presets([args.preset] if args.preset else [], workspace.root):
        few |= preset.params
    few |= {"steps": args.few} if args.few else {}
    icon_records = read_icons(MAIN, fetch_package(SETS[MAIN], args.packages), fetch_package(WORDS, args.packages))
    painter = Painter({icon.name: icon.svg for icon in icon_records})
    scenes = [painter.scene(SEED, number) for number in range(args.count)]
    captions, extract = [scene.caption for scene in scenes], build_extractor()
    real = extract(scene.picture for scene in scenes)
    print(f"{args.threads} threads, {args.count} captions of new scenes, {args.precision}", flush=True)
    distances = []
    for model, controls in ((slow, many), (fast, few)):
        features = extract(generate_images(model, captions, controls))
        distances.append(frechet_distance(features, real))
        print(
            f"{model.ref}, {controls['steps']} steps: Fréchet distance {distances[-1]:.2f}, "
            f"kernel distance {kernel_distance(features, real):.4f}",
            flush=True,
        )
    print(f"Fréchet distance of {few['steps']} steps: {distances[1] / distances[0] - 1:+.1%} of that of {args.steps}")
    for count in (1, 16):
        prompts = captions[:count]
        times = time_paired(
            lambda prompts=prompts: generate_images(fast, prompts, few),
            lambda prompts=prompts: generate_images(slow, prompts, many),
            args.rounds,
        )
        print(
            f"{count:2d} at once: {few['steps']} steps {times.first} s, {args.steps} steps {times.second} s; "
            f"{times.ratio} times faster, median [least, greatest] of {args.rounds}",
            flush=True,
        )


if __name__ == "__main__":
    main()
