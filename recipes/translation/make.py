"""Writes the data of a translation model: questions with their translations, and pairs that no training sees.

    python -m recipes.translation.make --to fr --out translation
    genloom collect translation/train.jsonl --name en-fr --val 0.01 --test 0
    genloom import smollm2
    genloom train en-fr --from smollm2 --minutes 10 --recipe recipes/translation/tune.toml
    genloom translate letter.txt --to fr --model en-fr

The questions are those that `genloom translate` asks, so any model that was trained on them takes the place of another.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from genloom.assistant.tasks.languages import find_language
from genloom.assistant.tasks.translation import build_translation_prompt
from recipes.translation.dictionary import Dictionary, learn_dictionary, list_tokens
from recipes.translation.fetch import TranslationPair, iter_handbook_pairs, iter_message_pairs

HELD_OUT_SHARE = 0.03
DICTIONARY_PAIRS = 8000  # from which the glossaries of some questions come


def find_key(text: str) -> str:
    """Return what near repeats share: the letters of a text without capitals, numbers and marks."""
    return " ".join(re.findall(r"[^\W\d_]+", text.casefold()))


def is_held_out(key: str) -> bool:
    """Return whether the texts with a key are held out, by its hash."""
    digest = hashlib.sha256(f"translation:{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


def select_pairs(pairs: Iterable[TranslationPair]) -> list[TranslationPair]:
    """Return the pairs without repeats; of several translations of a text the first is kept."""
    chosen: dict[str, TranslationPair] = {}
    for pair in pairs:
        key = find_key(pair.source)
        if key:
            chosen.setdefault(key, pair)
    return list(chosen.values())


def split_pairs(pairs: Sequence[TranslationPair]) -> tuple[list[TranslationPair], list[TranslationPair]]:
    """Return the pairs for training and those that are held out; a held-out translation is in no training pair."""
    held_out = [pair for pair in pairs if is_held_out(find_key(pair.source))]
    targets = {find_key(pair.target) for pair in held_out}
    train = [pair for pair in pairs if not is_held_out(find_key(pair.source)) and find_key(pair.target) not in targets]
    return train, held_out


def to_record(pair: TranslationPair, target: str, terms: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return the conversation of a pair, with its origin and licence; `terms` are a glossary that it keeps to."""
    return {
        "messages": [
            {"role": "user", "content": build_translation_prompt(pair.source, "en", target, terms)},
            {"role": "assistant", "content": pair.target},
        ],
        "source": pair.origin,
        "licence": pair.licence,
    }


def choose_terms(pair: TranslationPair, dictionary: Dictionary) -> dict[str, str]:
    """Return a glossary for one pair in five: up to two words whose translation by the dictionary is in the target."""
    digest = hashlib.sha256(f"terms:{pair.source}".encode()).digest()
    if digest[0] % 5:
        return {}
    target = set(list_tokens(pair.target))
    words = [word for word in list_tokens(pair.source) if len(word) > 3 and word.isalpha()]
    known = [word for word in dict.fromkeys(words) if dictionary.best.get(word, "") in target - {word}]
    chosen = sorted(known, key=len, reverse=True)[: 1 + digest[1] % 2]
    return {word: dictionary.best[word] for word in chosen}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", default="fr", help="target language: a code or name; the source is English")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl, held-out.tsv and the packages")
    parser.add_argument("--without-handbook", action="store_true", help="messages of programs only")
    given = parser.parse_args(arguments)
    target = find_language(given.to)
    pairs = list(iter_message_pairs(given.out, target))
    if not given.without_handbook:
        pairs = [*iter_handbook_pairs(given.out, target), *pairs]
    train, held_out = split_pairs(select_pairs(pairs))
    dictionary = learn_dictionary([(pair.source, pair.target) for pair in train[:DICTIONARY_PAIRS]])
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(to_record(pair, target, choose_terms(pair, dictionary)), ensure_ascii=False) + "\n"
            for pair in train
        )
    with (given.out / "held-out.tsv").open("w", encoding="utf-8") as file:
        file.writelines(f"{pair.source}\t{pair.target}\t{pair.origin}\n" for pair in held_out)
    with (given.out / "train.tsv").open("w", encoding="utf-8") as file:
        file.writelines(f"{pair.source}\t{pair.target}\t{pair.origin}\n" for pair in train)
    print(f"{len(train):,} pairs for training and {len(held_out):,} held out in {given.out}")


if __name__ == "__main__":
    main()
