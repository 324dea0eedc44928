"""The corpora that ship inside the package, so that a first model needs no download."""

import gzip
from importlib.resources import files

NAMES = ("shakespeare",)
LICENCE = "public domain"


def load_shakespeare() -> str:
    """Nine plays of Shakespeare, 1.12 million characters of plain ASCII; README.md beside this tells their origin."""
    return gzip.decompress(files(__name__).joinpath("shakespeare.txt.gz").read_bytes()).decode("ascii")
