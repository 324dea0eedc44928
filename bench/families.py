"""Every family on the same pictures, for the same minutes: flow, codes masked and one after the other, VAE, GAN.

    python bench/families.py --minutes 5 --samples 500
    python bench/families.py --only flow,gan --workspace WORKSPACE

The pictures are icons and scenes of 32 × 32 pixels from the recipe `recipes/icons`; what each family is told is in its
recipe there. Models with prompts are asked for the captions of held-out pictures, the VAE and the GAN for nothing. The
Fréchet distance is to these pictures, in EfficientNet-Lite0 features; "real" is that of as many training pictures. The
autoencoder under the codes gets its own minutes, and its pictures come back as far from the truth as the dB say.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the recipe

from genloom.cli import run
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MIXTURE, Maker, write_parquet

RECIPES = Path(__file__).parent.parent / "recipes" / "icons"
SMALL = ("codec.name=pixels", "codec.size=32")
CODES = "codes-below"
OF_CODES = ("codec.name=fsq_tokens", f"codec.model={CODES}")
# The recipe, and what is set besides; those of codes stand on the model CODES.
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "flow": ("", (*SMALL, "network.patch_size=4")),
    "masked": ("", ("objective.name=masked", *OF_CODES)),
    "autoregressive": ("", ("objective.name=autoregressive", *OF_CODES)),
    "vae": ("vae.toml", ()),
    "gan": ("gan.toml", ()),
}


def run_genloom(*arguments: str) -> dict[str, Any]:
    """Return the JSON that a command prints; its messages for people go to standard error."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([*arguments, "--json"])
    if code:
        raise SystemExit(f"genloom {' '.join(arguments)} ended with {code}")
    return json.loads(out.getvalue())


def collect_mixture(folder: Path, packages: Path, count: int) -> None:
    words = fetch_package(WORDS, packages)
    maker = Maker(
        {name: list(read_icons(name, fetch_package(SETS[name], packages), words)) for name in MIXTURE}, size=32
    )
    write_parquet(folder / "icons32.parquet", (maker.picture(5, number) for number in range(count)))
    run_genloom("collect", str(folder / "icons32.parquet"), "--name", "icons32")


def train_model(name: str, minutes: float, recipe: str, settings: tuple[str, ...]) -> dict[str, Any]:
    flags = ["--recipe", str(RECIPES / recipe)] if recipe else []
    for setting in settings:
        flags += ["--set", setting]
    return run_genloom("train", "icons32", "--name", name, "--minutes", str(minutes), *flags)


def format_line(name: str, fact: dict[str, Any], scores: dict[str, Any]) -> str:
    """Format the measurements of a family for people."""
    shares, copied = scores["manifold"], scores["copied"]["near_copies"]
    lost = scores["reconstruction"]
    coded = f", its codes come back at {lost['psnr']:.1f} dB, {lost['frechet']:.2f} away" if lost else ""
    return (
        f"{name:15s} Fréchet distance {scores['distance']['frechet']:6.2f} (real {scores['real']['frechet']:.2f}), "
        f"precision {shares['precision']:.2f}, recall {shares['recall']:.2f}, coverage {shares['coverage']:.2f}, "
        f"near copies {100 * copied:.1f} %, {fact['seconds']:.0f} s of training{coded}; {scores['folder']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--only", default=",".join(FAMILIES))
    parser.add_argument("--workspace", default="")
    parser.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        home = Path(args.workspace or aside)
        os.environ["GENLOOM_HOME"] = str(home)
        if not (home / "data" / "icons32").is_dir():
            home.mkdir(parents=True, exist_ok=True)
            collect_mixture(home, args.packages.absolute(), args.pictures)
        names = [name for name in args.only.split(",") if name]
        if any(OF_CODES[0] in FAMILIES[name][1] for name in names) and not (home / "models" / CODES).is_dir():
            train_model(CODES, args.minutes, "codes.toml", ("codec.size=32", "objective.grid=[8, 8]"))
        print(
            f"{args.minutes:g} minutes of training each; {args.samples} samples against held-out pictures", flush=True
        )
        for name in names:
            fact = train_model(name, args.minutes, *FAMILIES[name])["fact"]
            scores = run_genloom("evaluate", name, "--samples", str(args.samples))
            print(format_line(name, fact, scores), flush=True)


if __name__ == "__main__":
    main()
