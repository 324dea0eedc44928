"""How well the test of support tells right sentences from wrong ones about the same source, by the kind of fault.

    python bench/assistant.py support                # every pair of bench/support_cases.toml
    python bench/assistant.py support --wrong        # and the sentences that are judged wrongly

The peer is the same test without its rules on contradictions: overlap of words and likeness by MiniLM alone.
"""

import argparse
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from genloom.assistant.knowledge.support import MIN_JOINT, MIN_OVERLAP, MIN_SIMILARITY, find_support
from genloom.metrics.statistics import compute_wilson_interval
from genloom.text_encoders.minilm.sentences import embed_texts
from genloom.text_format import format_table

CASES = Path(__file__).with_name("support_cases.toml")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrong", action="store_true", help="print the sentences that are judged wrongly")
    parser.add_argument("--part", choices=("seen", "unseen"), help="only these sources")
    options = parser.parse_args(arguments)
    parts = (options.part,) if options.part else ("seen", "unseen")
    header = ("kind", *(f"{part}: {test}" for part in parts for test in ("with rules", "without")))
    print("\n".join(format_table([header, *measure_parts(parts, options.wrong)])))


def measure_parts(parts: Sequence[str], shows_wrong: bool) -> list[tuple[str, ...]]:
    """Return a row for each kind of sentence: how many are judged as they should be, with and without the rules."""
    cells: dict[str, dict[tuple[str, bool], str]] = defaultdict(dict)
    for part in parts:
        found = judge_sources(part, shows_wrong)
        found["all wrong"] = [pair for kind, judged in found.items() if kind != "right" for pair in judged]
        for kind, judged in found.items():
            for column, has_rules in enumerate((True, False)):
                cells[kind][part, has_rules] = describe_share([pair[column] for pair in judged])
    order = ["right", *sorted(cells.keys() - {"right", "all wrong"}), "all wrong"]
    names = {"right": "right: supported", "all wrong": "wrong: unsupported"}
    return [
        (names.get(kind, f"  {kind}"), *(cells[kind].get((p, r), "") for p in parts for r in (True, False)))
        for kind in order
    ]


def describe_share(judged: Sequence[bool]) -> str:
    share = compute_wilson_interval(sum(judged), len(judged))
    return f"{sum(judged)} of {len(judged)}: {share.mean:.0%} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def judge_sources(part: str, shows_wrong: bool) -> dict[str, list[tuple[bool, bool]]]:
    """Return for each kind of sentence whether each is judged as it should be, by the test and by its peer."""
    sources = tomllib.loads(CASES.read_text(encoding="utf-8"))["source"]
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for source in (each for each in sources if each["part"] == part):
        sentences = [("right", text) for text in source["right"]]
        sentences += [(kind, text) for kind, texts in source["wrong"].items() for text in texts]
        for kind, text in sentences:
            (judged,) = find_support(text, [source["text"]], embed_texts)
            is_alike = judged.overlap >= MIN_OVERLAP and judged.similarity >= MIN_SIMILARITY
            is_alike &= judged.overlap + judged.similarity >= MIN_JOINT
            should = kind == "right"
            found[kind].append((judged.is_supported == should, is_alike == should))
            if shows_wrong and judged.is_supported != should:
                print(
                    f"{part}, {kind}: {text} ({judged.reason or 'supported'}; {judged.overlap:.2f}, "
                    f"{judged.similarity:.2f}) | {judged.quote}"
                )
    return found
