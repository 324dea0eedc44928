"""How often the mark in pictures is found after edits, and how often it is found wrongly.

    python bench/marks_pictures.py --count 28 --pictures build/marked.npz   # generated once, and kept in the file
    python bench/marks_pictures.py --count 28 --pictures build/marked.npz --wrong-keys 20

Found is p < 1e-6 after all corrections: pool, mirror image, places of a crop, rounds of correction. The rates are
blind, with the prompt, and as `verify` searches in a workspace that has the picture among its last 1,000 outputs: with
the noise of all of them, and the prompts of the three that fit best, beside the pool at half of the level. Of a crop,
only the true place is inverted, and the p-value allows for all: a lower bound. With `--wrong-keys`, the p-values of
other keys, whose share below p should be p. Intervals are Wilson's, 95 %.
"""

import argparse
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from genloom.generate import engine
from genloom.media.image import list_alignments
from genloom.model import Model, load_model
from genloom.noise import SIGNAL_POOL_SIZE
from genloom.store.workspace import Workspace
from genloom.trust.known_outputs import MAX_OUTPUTS, KnownOutput
from genloom.trust.signal_marks import (
    MAX_P_VALUE,
    ROUNDS,
    compute_log_tail,
    correlate_pool,
    estimate_noise,
    find_output_mark,
    find_pool_mark,
)

KEY, PROMPTS = 987654321, Path(__file__).parent.parent / "genloom" / "builtin" / "icons" / "prompts.txt"
MORE_PROMPTS = Path(__file__).parent.parent / "docs" / "pictures" / "prompts.txt"
MARGIN = 3  # pixels that the crop takes from each side, of 64: 58 × 58 are left, 90 % of each side
Picture = np.ndarray


def resample_picture(picture: Picture) -> Picture:
    small = Image.fromarray(picture).resize((32, 32), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC))


def blur_picture(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))


def compress_picture(picture: Picture) -> Picture:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=75)
    return np.asarray(Image.open(io.BytesIO(data.getvalue())).convert("RGB"))


def crop_picture(picture: Picture) -> Picture:
    return picture[MARGIN:-MARGIN, MARGIN:-MARGIN]


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "PNG": lambda picture: picture,
    "half size and back": resample_picture,
    "blur, radius 1": blur_picture,
    "JPEG 75": compress_picture,
    "90 % crop": crop_picture,
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
}


def generate_pictures(model: Model, count: int, path: Path | None) -> list[tuple[str, Picture]]:
    lines = [line.strip() for file in (PROMPTS, MORE_PROMPTS) for line in file.read_text().splitlines()]
    prompts = list(dict.fromkeys(line for line in lines if line))[:count]
    if path is not None and path.is_file():
        stored = np.load(path)
        return list(zip(stored["prompts"].tolist(), stored["pictures"], strict=True))[:count]
    nonces = tuple(np.random.default_rng(7).integers(2**53, size=len(prompts)).tolist())
    request = engine.Request(tuple(prompts), nonces, marking_key="bench", noise_key=KEY)
    batches = engine.split_batches(request, 6)
    pictures = [picture for batch in batches for picture in engine.run_request(model, batch).values]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, prompts=np.array(prompts), pictures=np.stack(pictures))
    return list(zip(prompts, pictures, strict=True))


def list_outputs(pictures: list[tuple[str, Picture]]) -> list[KnownOutput]:
    """Return the outputs of a workspace: the pictures with their prompts, and others of their prompts."""
    nonces = np.random.default_rng(7).integers(2**53, size=len(pictures)).tolist()  # as `generate_pictures` draws them
    others = np.random.default_rng(8).integers(2**53, size=MAX_OUTPUTS - len(pictures)).tolist()
    return [
        KnownOutput(str(number), KEY, nonce, given={"prompt": pictures[number % len(pictures)][0]})
        for number, nonce in enumerate([*nonces, *others])
    ]


def search_outputs(
    model: Model, values: list[Picture], noise: torch.Tensor, rounds: tuple[int, ...], outputs: Any, num_tests: int
) -> list[float]:
    """Return the logarithm of the p-value of each picture: the better of both searches, each at half of the level."""
    log_p = []
    for number, value in enumerate(values):
        rows, aligned = noise[:, number], [("it", value)]
        pool = find_pool_mark(rows, KEY, ["it"] * len(rows), 2 * num_tests).log_p
        _, mark = find_output_mark(model, aligned, rounds, rows, ["it"] * len(rows), outputs, 2 * num_tests)
        log_p.append(min(pool, mark.log_p))
    return log_p


def undo_crop(name: str, picture: Picture) -> tuple[Picture, tuple[int, ...], int]:
    """Return the picture at its true place, the rounds that the search tries, and the number of its tests."""
    aligned = list_alignments(picture, (64, 64))
    rounds = ROUNDS if len(aligned) <= 2 else ROUNDS[:1]
    num_tests = len(ROUNDS) + len(rounds) * len(aligned)
    place = {"mirrored": "mirrored", "90 % crop": f"cropped at {MARGIN}, {MARGIN}"}.get(name)
    return (picture if place is None else dict(aligned)[place]), rounds, num_tests


def estimate_all(model: Model, pictures: list[tuple[str, Picture]], name: str, has_prompt: bool) -> torch.Tensor:
    """Return the estimates of the noise, rounds × pictures."""
    values = [undo_crop(name, EDITS[name](picture)) for _, picture in pictures]
    rows: list[Any] = []
    for count in values[0][1]:
        if has_prompt:
            rows.append(
                torch.cat(
                    [
                        estimate_noise(model, [value], {"prompt": prompt}, count)
                        for (value, _, _), (prompt, _) in zip(values, pictures, strict=True)
                    ]
                )
            )
        else:
            rows.append(estimate_noise(model, [value for value, _, _ in values], {}, count))
    return torch.stack(rows)


def bound_share(found: int, count: int, z: float = 1.96) -> tuple[float, float]:
    share, scale = found / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return middle - half, middle + half


def report_rate(name: str, method: str, log_p: list[float], seconds: float) -> None:
    found = sum(each < math.log(MAX_P_VALUE) for each in log_p)
    low, high = bound_share(found, len(log_p))
    exponents = ", ".join(f"{-each / math.log(10):.0f}" for each in log_p)
    print(
        f"{name:20s} {method:13s} {found}/{len(log_p)} = {found / len(log_p):.0%} [{low:.0%}, {high:.0%}]; "
        f"{seconds:.1f} s each; -log10 p: {exponents}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="icons")
    parser.add_argument("--workspace")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--pictures", type=Path, help="file of the marked pictures, made if it is not there")
    parser.add_argument("--edits", nargs="*", choices=tuple(EDITS), default=list(EDITS))
    parser.add_argument("--blind", action="store_true", help="without the prompt only")
    parser.add_argument("--wrong-keys", type=int, default=0, help="keys of p-values without a mark")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(Workspace.from_option(args.workspace), args.model)
    pictures = generate_pictures(model, args.count, args.pictures)
    print(f"{len(pictures)} pictures of {model.ref}", flush=True)
    estimates = {}
    for name in args.edits:
        num_tests = undo_crop(name, EDITS[name](pictures[0][1]))[2]
        for has_prompt in (False,) if args.blind else (False, True):
            started = time.perf_counter()
            noise = estimates[name, has_prompt] = estimate_all(model, pictures, name, has_prompt)
            seconds = (time.perf_counter() - started) / len(pictures)
            scores, _ = correlate_pool(noise.flatten(0, 1), KEY)
            best = scores.view(len(noise), len(pictures)).amax(0)
            log_p = [compute_log_tail(float(score)) + math.log(SIGNAL_POOL_SIZE * num_tests) for score in best]
            report_rate(name, "prompt known" if has_prompt else "blind", log_p, seconds)
            if not has_prompt:
                undone = [undo_crop(name, EDITS[name](picture)) for _, picture in pictures]
                started = time.perf_counter()
                log_p = search_outputs(
                    model, [value for value, _, _ in undone], noise, undone[0][1], list_outputs(pictures), num_tests
                )
                report_rate(name, "among outputs", log_p, (time.perf_counter() - started) / len(pictures))
    if args.wrong_keys:
        rows = torch.cat([noise.flatten(0, 1) for noise in estimates.values()])
        scores = [score for key in range(args.wrong_keys) for score in correlate_pool(rows, key)[0].tolist()]
        p = np.exp([compute_log_tail(score) + math.log(SIGNAL_POOL_SIZE) for score in scores])
        for level in (0.001, 0.01, 0.1):
            print(f"{len(p)} p-values of wrong keys, share below {level}: {(p < level).mean():.4f}")


if __name__ == "__main__":
    main()
