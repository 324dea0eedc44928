"""Writes the features of pictures that the built-in model has not seen: genloom/builtin/icons/reference.npz.

    python -m recipes.icons.reference PACKAGES genloom/builtin/icons/reference.npz --size 64

PACKAGES is the folder of the npm packages of `recipes.icons.fetch`. A round of learning compares outputs with them.
"""

import argparse
from pathlib import Path

import numpy as np

from genloom import plugins
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MIXTURE, Maker

SEED, COUNT = 7771, 256
DATA = "icons"  # the name of the data set, in the cards of the models that were trained on it


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=64, help="image side in pixels, that of the model")
    parser.add_argument("--others", action="store_true", help="scenes also show things beyond the vocabulary")
    args = parser.parse_args()
    words = fetch_package(WORDS, args.packages)
    sets = {name: list(read_icons(name, fetch_package(SETS[name], args.packages), words)) for name in MIXTURE}
    maker = Maker(sets, args.size, has_others=args.others)
    extract = plugins.find_part("features", "efficientnet").build_extractor()
    features = extract(maker.picture(SEED, number).pixels for number in range(COUNT))
    np.savez_compressed(args.out, features=features.astype(np.float16), data=np.array(DATA))
    print(f"{COUNT} features in {args.out}, {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
