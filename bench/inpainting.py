"""The missing part of a picture: Genloom's model against OpenCV's Telea fill and a fill with the mean colour.

    python bench/inpainting.py --model icons --count 100

New scenes of the recipe `recipes/icons`, which no model has seen, lose a rectangle; each way fills it. The measure
is the difference of the filled part from the original: the distance of normalised EfficientNet-Lite0 feature maps at
five scales, limited to the part (LPIPS with every channel counted alike). Known pixels must come back exactly.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from perceptual_distance import PerceptualDistance

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the recipe

from genloom.generate import engine
from genloom.generate.image import EditSource
from genloom.metrics.statistics import compute_wilson_interval, estimate_ratio
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MAIN
from recipes.icons.scenes import Painter

SEED = 4242  # of scenes that no recipe trains on

Fill = Callable[[np.ndarray, np.ndarray, str], np.ndarray]  # picture, what is missing, caption


def draw_hole(rng: np.random.Generator, side: int) -> np.ndarray:
    """A rectangle of a sixth to a third of the picture."""
    height, width = rng.integers(round(0.4 * side), round(0.6 * side), 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    missing = np.zeros((side, side), bool)
    missing[top : top + height, left : left + width] = True
    return missing


def fill_by_telea(picture: np.ndarray, missing: np.ndarray, caption: str) -> np.ndarray:
    return cv2.inpaint(picture, missing.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def fill_by_mean(picture: np.ndarray, missing: np.ndarray, caption: str) -> np.ndarray:
    filled = picture.copy()
    filled[missing] = picture[~missing].mean(0).round()
    return filled


def build_model_fill(model: Model, prompted: bool, controls: dict[str, float]) -> Fill:
    def fill(picture: np.ndarray, missing: np.ndarray, caption: str) -> np.ndarray:
        request = engine.build_request(
            [caption if prompted else ""], 1, 0, (), controls, engine.is_open_sequence(model.codec.space)
        )
        return engine.run_request(model, engine.replace(request, edit=EditSource(picture, missing))).values[0]

    return fill


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="icons")
    parser.add_argument("--workspace")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    args = parser.parse_args()
    model = load_model(Workspace.from_option(args.workspace), args.model)
    icon_records = read_icons(MAIN, fetch_package(SETS[MAIN], args.packages), fetch_package(WORDS, args.packages))
    painter = Painter({icon.name: icon.svg for icon in icon_records})
    controls = {"steps": args.steps}
    ways: dict[str, Fill] = {
        f"{model.ref}, with the caption": build_model_fill(model, True, controls),
        f"{model.ref}, without": build_model_fill(model, False, controls),
        "OpenCV Telea": fill_by_telea,
        "mean colour": fill_by_mean,
    }
    unlike = PerceptualDistance()
    found: dict[str, list[float]] = {name: [] for name in ways}
    seconds, changed = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    for number in range(args.count):
        scene = painter.scene(SEED, number)
        missing = draw_hole(np.random.default_rng((SEED, number)), len(scene.picture))
        visible = np.where(missing[..., None], np.uint8(0), scene.picture)  # so that nobody sees the truth
        for name, fill in ways.items():
            started = time.perf_counter()
            filled = fill(visible, missing, scene.caption)
            seconds[name] += time.perf_counter() - started
            changed[name] += int((filled[~missing] != scene.picture[~missing]).any())
            found[name].append(unlike(filled, scene.picture, missing))
    print(f"{args.count} new scenes, each without a rectangle; feature distance of the filled part to the original")
    ones = np.ones(args.count)
    for name, each in found.items():
        distance_text = f"{estimate_ratio(np.array(each), ones)}, {seconds[name] / args.count:.3f} s each"
        print(f"{name:28s} {distance_text}, known pixels changed in {changed[name]} of {args.count}")
    own, *_ = found
    for name in ("OpenCV Telea", "mean colour"):
        gap = np.array(found[own]) - np.array(found[name])
        wins = compute_wilson_interval(float((gap < 0).sum()), args.count)
        print(
            f"Genloom against {name}: distance {estimate_ratio(gap, ones)} (below 0 is better), nearer to the truth in "
            f"{100 * wins.mean:.0f} % [{100 * wins.low:.0f}, {100 * wins.high:.0f}] of scenes"
        )


if __name__ == "__main__":
    main()
