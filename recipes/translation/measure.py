"""Measures translations by chrF and BLEU on held-out pairs: a model, copying, and a dictionary learned by counts.

    python -m recipes.translation.measure --data translation --to fr --model en-fr --model smollm2 --count 200

Intervals are of 1,000 bootstrap resamples of the pairs (Koehn 2004), by sacrebleu.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from recipes.translation.dictionary import learn_dictionary


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Return the pairs of a table that `recipes.translation.make` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(source, target) for source, target, _ in (line.split("\t") for line in lines)]


def measure_translations(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return chrF2 and BLEU of the translations with half the width of their 95 % intervals."""
    from sacrebleu.metrics import BLEU, CHRF

    found: dict[str, float] = {}
    for name, metric in (("chrf", CHRF()), ("bleu", BLEU(effective_order=False))):
        score = metric.corpus_score(list(translations), [list(references)], n_bootstrap=1000)
        found |= {name: score.score, f"{name}_interval": float(getattr(score, "_ci", 0.0))}
    return found


def measure_systems(
    pairs: Sequence[tuple[str, str]],
    train: Sequence[tuple[str, str]],
    models: Sequence[str],
    target: str,
    workspace_folder: str | None = None,
) -> dict[str, dict[str, float]]:
    """Return the measures of copying, of the dictionary and of each model on the same pairs."""
    import genloom as gl

    sources, references = [source for source, _ in pairs], [reference for _, reference in pairs]
    dictionary = learn_dictionary(train)
    found = {
        "copying": measure_translations(sources, references),
        "dictionary": measure_translations(list(map(dictionary.translate_text, sources)), references),
    }
    workspace = gl.Workspace(workspace_folder)
    for name in models:
        start = time.perf_counter()
        model = workspace.model(name)
        translations = translate_texts(model, sources, target)
        found[name] = measure_translations(translations, references)
        found[name]["seconds"] = time.perf_counter() - start
        found[name]["copies"] = sum(a == b for a, b in zip(translations, sources, strict=True)) / len(sources)
    return found


def translate_texts(model: object, sources: Sequence[str], target: str) -> list[str]:
    """Return the greedy translation of each text by the prompt of `genloom translate`, without storing it."""
    from genloom.api.answering import answer_unstored
    from genloom.assistant.tasks.translation import TranslationCandidate, build_translation_prompt, clean_candidate
    from genloom.types import Message

    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    found: dict[int, str] = {}
    for start in range(0, len(order), 16):
        batch = order[start : start + 16]
        questions = [[Message("user", build_translation_prompt(sources[index], "en", target))] for index in batch]
        longest = max(len(sources[index]) for index in batch)
        texts = answer_unstored(
            model,  # ty: ignore[invalid-argument-type]
            questions,
            temperature=0.0,
            repetition_penalty=1.0,
            max_tokens=max(24, longest),
        )
        found |= {
            index: clean_candidate(TranslationCandidate(text, None), sources[index]).text
            for index, text in zip(batch, texts, strict=True)
        }
    return [found[index] for index in range(len(sources))]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that recipes.translation.make wrote")
    parser.add_argument("--to", default="fr", help="code of the target language")
    parser.add_argument("--model", action="append", default=[], help="model of the workspace; may be repeated")
    parser.add_argument("--count", type=int, default=200, help="held-out pairs, evenly taken")
    parser.add_argument("--workspace", help="folder of the workspace")
    given = parser.parse_args(arguments)
    pairs, train = read_pairs(given.data / "held-out.tsv"), read_pairs(given.data / "train.tsv")
    chosen = pairs[:: max(len(pairs) // given.count, 1)][: given.count]
    found = measure_systems(chosen, train, given.model, given.to, given.workspace)
    print(f"{len(chosen)} held-out pairs, English to {given.to}")
    for name, scores in found.items():
        print(
            f"  {name:12} chrF2 {scores['chrf']:5.1f} ± {scores['chrf_interval']:.1f}   "
            f"BLEU {scores['bleu']:5.1f} ± {scores['bleu_interval']:.1f}"
            + (f"   {scores['seconds']:.0f} s" if "seconds" in scores else "")
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
