"""Every family on the same pictures, for the same minutes: flow, codes masked and one after the other, VAE, GAN.

    python bench/families.py --minutes 5 --samples 500
    python bench/families.py --only flow,gan --workspace WORKSPACE

The pictures are icons and scenes of 32 × 32 pixels from the recipe `recipes/icons`; what each family is told is in its
recipe there. What takes prompts is asked for the captions of held-out pictures, the VAE and the GAN for nothing. The
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
from recipes.icons.fetch import SETS, WORDS, fetch, read_icons
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


def told(*arguments: str) -> dict[str, Any]:
    """What the command says to scripts; what it says to people goes to standard error as it is."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([*arguments, "--json"])
    if code:
        raise SystemExit(f"genloom {' '.join(arguments)} ended with {code}")
    return json.loads(out.getvalue())


def collected(folder: Path, packages: Path, count: int) -> None:
    words = fetch(WORDS, packages)
    maker = Maker({name: list(read_icons(name, fetch(SETS[name], packages), words)) for name in MIXTURE}, size=32)
    write_parquet(folder / "icons32.parquet", (maker.picture(5, number) for number in range(count)))
    told("collect", str(folder / "icons32.parquet"), "--name", "icons32")


def trained(name: str, minutes: float, recipe: str, settings: tuple[str, ...]) -> dict[str, Any]:
    given = ["--recipe", str(RECIPES / recipe)] if recipe else []
    for setting in settings:
        given += ["--set", setting]
    return told("train", "icons32", "--name", name, "--minutes", str(minutes), *given)


def line(name: str, fact: dict[str, Any], found: dict[str, Any]) -> str:
    """What was measured of a family, for people."""
    shares, copied = found["manifold"], found["copied"]["near_copies"]
    lost = found["reconstruction"]
    coded = f", its codes come back at {lost['psnr']:.1f} dB, {lost['frechet']:.2f} away" if lost else ""
    return (
        f"{name:15s} Fréchet distance {found['distance']['frechet']:6.2f} (real {found['real']['frechet']:.2f}), "
        f"precision {shares['precision']:.2f}, recall {shares['recall']:.2f}, coverage {shares['coverage']:.2f}, "
        f"near copies {100 * copied:.1f} %, {fact['seconds']:.0f} s of training{coded}; {found['folder']}"
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--minutes", type=float, default=5.0, help="of training, each")
    ask.add_argument("--pictures", type=int, default=20_000)
    ask.add_argument("--samples", type=int, default=500)
    ask.add_argument("--only", default=",".join(FAMILIES))
    ask.add_argument("--workspace", default="")
    ask.add_argument("--packages", type=Path, default=Path("build/icons"), help="where npm's packages are kept")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        home = Path(given.workspace or aside)
        os.environ["GENLOOM_HOME"] = str(home)
        if not (home / "data" / "icons32").is_dir():
            home.mkdir(parents=True, exist_ok=True)
            collected(home, given.packages.absolute(), given.pictures)
        chosen = [name for name in given.only.split(",") if name]
        if any(OF_CODES[0] in FAMILIES[name][1] for name in chosen) and not (home / "models" / CODES).is_dir():
            trained(CODES, given.minutes, "codes.toml", ("codec.size=32", "objective.grid=[8, 8]"))
        print(
            f"{given.minutes:g} minutes of training each; {given.samples} samples against held-out pictures", flush=True
        )
        for name in chosen:
            fact = trained(name, given.minutes, *FAMILIES[name])["fact"]
            found = told("evaluate", name, "--samples", str(given.samples))
            print(line(name, fact, found), flush=True)


if __name__ == "__main__":
    main()
