"""The figures of the assistant: prompts, retrieval, grammars, tools, code and text tasks.

    python bench/assistant.py                       # all parts, one after the other
    python bench/assistant.py prompts --help        # one part; its options follow its name

Each part is a module `bench/assistant_PART.py` with a function `main` of the arguments after its name.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

PARTS = sorted(path.stem.removeprefix("assistant_") for path in Path(__file__).parent.glob("assistant_*.py"))


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] in (["--help"], ["-h"]):
        print(f"{__doc__}\nParts: {', '.join(PARTS)}")
        return
    chosen, options = (arguments[:1], arguments[1:]) if arguments else (PARTS, ())
    if unknown := [part for part in chosen if part not in PARTS]:
        sys.exit(f"There is no part {unknown[0]!r}. Parts: {', '.join(PARTS)}.")
    for part in chosen:
        print(f"== {part}", flush=True)
        import_module(f"assistant_{part}").main(list(options))


if __name__ == "__main__":
    main(sys.argv[1:])
