"""Writes recordings of a voice with their texts, as a person would make them, by letting Kokoro speak.

python -m recipes.voices.make --out my-voice --voice af_heart --count 400
genloom collect my-voice --consent my-voice/consent.toml --name me --trim 50
genloom train me --minutes 60
genloom speak "Good morning." --voice me --out hello.wav

It needs `genloom import kokoro`. The texts are sentences of the Chit-Chat data set (BYU PCC lab, MIT). Kokoro's weights
are under Apache-2.0, which says nothing on what they speak, and its voices belong to nobody; so the file of consents,
which is there to show how one looks, names no person.
"""

import argparse
import json
import random
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import genloom as gl
from genloom.api.speech import iter_levels
from genloom.api.voices import open_speaker
from genloom.speech.dictionaries import FOLDER
from genloom.speech.english_lexicon import EnglishLexicon
from genloom.speech.sound_stream import SoundWriter
from recipes.wheels import fetch_wheel

PACKAGE, VERSION = "chitchat_dataset", "0.9.0"
SHA256 = "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e"
SENTENCE = re.compile(r"[A-Z][a-z' ,I-]*[a-z][.!?]")  # the whole of one; capitals elsewhere are names, or shouted
MIN_WORDS, MAX_WORDS = 5, 15
MAX_SECONDS = 8.0
CONSENT = """[consents.voice]
who = "nobody: {voice} is a synthetic voice of Kokoro-82M"
of = ["voice"]
purposes = ["training", "generation", "sharing"]
signed = 2025-01-27
signature = "Apache-2.0, the licence of Kokoro-82M"
"""


def list_sentences(wheel: Path, count: int, seed: int) -> list[str]:
    """Return different sentences of words that a dictionary has, in an order drawn from the seed."""
    with zipfile.ZipFile(wheel) as archive:
        conversations = json.loads(archive.read(f"{PACKAGE}/dataset.json"))
    known = EnglishLexicon(FOLDER).gold
    found: dict[str, None] = {}
    for text in iter_texts(conversations):
        for sentence in re.findall(r"[^.!?]+[.!?]", text):
            words = re.findall(r"[A-Za-z']+", sentence)
            is_plain = SENTENCE.fullmatch(sentence.strip()) and MIN_WORDS <= len(words) <= MAX_WORDS
            if is_plain and all(word in known or word.lower() in known for word in words):
                found.setdefault(sentence.strip())
    sentences = sorted(found)
    random.Random(seed).shuffle(sentences)
    return sentences[:count]


def iter_texts(conversations: dict[str, dict[str, list[list[dict[str, str]]]]]) -> Iterator[str]:
    """Yield the messages of the data set."""
    for conversation in conversations.values():
        for turn in conversation["messages"]:
            for message in turn:
                yield str(message["text"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--wheels", type=Path, default=Path("wheels"), help="folder of packages")
    parser.add_argument("--workspace", default=None)
    parser.add_argument("--voice", default="af_heart")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    wheel = fetch_wheel(arguments.wheels, PACKAGE, VERSION, SHA256)
    speaker, lines = open_speaker(gl.Workspace(arguments.workspace), arguments.voice), []
    for number, sentence in enumerate(list_sentences(wheel, arguments.count, arguments.seed), start=1):
        path = arguments.out / f"{arguments.voice}-{number:04d}.flac"
        if not path.exists():
            (levels, *_), *_ = iter_levels(speaker, sentence)
            if len(levels) > MAX_SECONDS * speaker.rate:
                continue
            with SoundWriter(aside := path.with_suffix(".part.flac"), speaker.rate) as writer:
                writer.write(levels)
            aside.rename(path)
        lines.append(f"{path.stem}|{sentence}|{sentence}\n")
        print(f"{number:,} recordings", end="\r", flush=True)
    (arguments.out / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    (arguments.out / "consent.toml").write_text(CONSENT.format(voice=arguments.voice), encoding="utf-8")
    print(f"{len(lines):,} recordings in {arguments.out}")


if __name__ == "__main__":
    main()
