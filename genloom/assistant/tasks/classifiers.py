"""Trained classifiers: how they are made from labelled texts, kept in a workspace as data, and read again.

A folder `classifiers/NAME` holds classifier.json, which says what the classifier is and where it comes from, and
weights.safetensors. Nothing in it is code.

Shape letters: N texts, F features, C labels.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.assistant.tasks.logistic import LogisticRegression, fit_cross_validated
from genloom.assistant.tasks.measures import measure_classification
from genloom.errors import GenloomError, find_nearest, format_suggestion
from genloom.store.files import atomic_folder
from genloom.store.names import unknown_name_error, validate_name

METHODS = ("zero-shot", "head", "embeddings")
TRAINED_METHODS = METHODS[1:]
MAX_LABELS = 100
MIN_EXAMPLES = 4  # of each label
MAX_CARD_BYTES = 1 << 20
FOLDER = "classifiers"  # of a workspace
_CARD, _WEIGHTS = "classifier.json", "weights.safetensors"
_ARRAYS = ("mean_F", "scale_F", "weight_FC", "bias_C")


@dataclass(frozen=True)
class TrainedClassifier:
    """A logistic regression on features of texts, with its card."""

    name: str
    labels: tuple[str, ...]
    method: str  # "head" or "embeddings"
    regression: LogisticRegression
    card: dict[str, Any]

    @property
    def model(self) -> str:
        """The version of the model whose hidden states it reads; "" for embeddings."""
        return str(self.card.get("model", ""))


def parse_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels without blanks around them; raise GenloomError for fewer than two, too many or a repeated one."""
    parsed = [label.strip() for text in labels for label in text.split(",") if label.strip()]
    if len(parsed) < 2:
        raise GenloomError("tasks.too_few_labels", count=len(parsed), labels=", ".join(parsed) or "none")
    if len(parsed) > MAX_LABELS:
        raise GenloomError("tasks.too_many_labels", count=len(parsed), limit=MAX_LABELS)
    if repeated := [label for label, count in Counter(label.casefold() for label in parsed).items() if count > 1]:
        raise GenloomError("tasks.label_twice", label=repeated[0])
    return tuple(parsed)


def check_method(method: str) -> None:
    """Raise GenloomError (tasks.unknown_method) for a method that does not exist."""
    if method not in METHODS:
        hint = format_suggestion(method, METHODS)
        raise GenloomError("tasks.unknown_method", name=method, known=", ".join(METHODS), hint=hint)


def select_examples(
    texts: Sequence[str], given: Sequence[str], labels: Sequence[str]
) -> tuple[list[str], np.ndarray, int]:
    """Return the texts that have one of the labels, the indices of these, and how many texts have another or none.

    Raise GenloomError if a label does not occur among the examples, or too rarely.
    """
    index = {label.casefold(): number for number, label in enumerate(labels)}
    rows = [(text, index[name.strip().casefold()]) for text, name in zip(texts, given, strict=True)
            if name.strip().casefold() in index and text.strip()]  # fmt: skip
    counts = Counter(number for _, number in rows)
    found = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    for number, label in enumerate(labels):
        if not counts[number]:
            nearest = find_nearest(label, found)
            shown = ", ".join(found[:8]) + (", …" if len(found) > 8 else "")
            raise GenloomError("tasks.label_absent", label=label, found=nearest or shown or "none")
        if counts[number] < MIN_EXAMPLES:
            raise GenloomError("tasks.too_few_examples", label=label, count=counts[number], minimum=MIN_EXAMPLES)
    return [text for text, _ in rows], np.array([number for _, number in rows]), len(texts) - len(rows)


def train_classifier(
    name: str,
    labels: Sequence[str],
    method: str,
    features_NF: np.ndarray,
    targets_N: np.ndarray,
    lineage: dict[str, Any],
) -> TrainedClassifier:
    """Fit a classifier; its card gets its quality by cross-validation on the examples, and the lineage given."""
    fit = fit_cross_validated(features_NF, targets_N, len(labels))
    quality = measure_classification(fit.held_out_NC, targets_N)
    card = {
        "name": name,
        "method": method,
        "labels": list(labels),
        "examples": {label: int((targets_N == number).sum()) for number, label in enumerate(labels)},
        "l2_strength": fit.regression.l2_strength,
        "features": int(features_NF.shape[1]),
        "cross_validation": quality.to_json(),
        **lineage,
    }
    return TrainedClassifier(name, tuple(labels), method, fit.regression, card)


def hash_texts(texts: Sequence[str], targets: Sequence[int]) -> str:
    """Return SHA-256 over labelled texts, by which the card names the data."""
    digest = hashlib.sha256()
    for text, target in zip(texts, targets, strict=True):
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() + int(target).to_bytes(4, "big"))
    return digest.hexdigest()


def save_classifier(folder: Path, classifier: TrainedClassifier) -> Path:
    """Write a classifier below the folder of a workspace, complete or not at all; `require_new_name` comes before."""
    from safetensors.numpy import save

    target = folder / FOLDER / validate_name(classifier.name, "classifier")
    arrays = {name: np.ascontiguousarray(getattr(classifier.regression, name)) for name in _ARRAYS}
    weights = save(arrays)
    card = {**classifier.card, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(target) as draft:
        (draft / _WEIGHTS).write_bytes(weights)
        (draft / _CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return target


def require_new_name(folder: Path, name: str) -> str:
    """Return the name as it is stored; raise GenloomError if it is none, or a classifier has it."""
    valid_name = validate_name(name, "classifier")
    if (folder / FOLDER / valid_name).exists():
        raise GenloomError("tasks.classifier_exists", name=valid_name)
    return valid_name


def list_classifiers(folder: Path) -> list[str]:
    """Return the names of the classifiers of a workspace, sorted."""
    return sorted(path.parent.name for path in (folder / FOLDER).glob(f"*/{_CARD}"))


def find_folder(folder: Path, name: str) -> Path:
    """Return the folder of a classifier of a workspace; raise GenloomError if there is none."""
    known = list_classifiers(folder)
    if name not in known:
        cure = "Make one: genloom classify FILE --labels A,B --train FILE --name NAME"
        raise unknown_name_error("classifier", name, known, cure)
    return folder / FOLDER / name


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card in the folder of a classifier; raise GenloomError if it cannot be read."""
    try:
        card = json.loads((folder / _CARD).read_bytes()[:MAX_CARD_BYTES])
        if not isinstance(card, dict):
            raise ValueError("the card is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise GenloomError("tasks.damaged_classifier", name=folder.name, reason=str(error)[:200]) from error
    return card


def load_classifier(folder: Path, name: str) -> TrainedClassifier:
    """Return the classifier of this name; raise GenloomError if there is none, or its files are damaged."""
    from safetensors.numpy import load

    path = find_folder(folder, name)
    card = read_card(path)
    try:
        weights = (path / _WEIGHTS).read_bytes()
        if hashlib.sha256(weights).hexdigest() != card["weights_sha256"]:
            raise ValueError("the weights are not those that were written")
        arrays = load(weights)
        regression = LogisticRegression(*(arrays[each] for each in _ARRAYS), float(card["l2_strength"]))
        labels = tuple(map(str, card["labels"]))
        if card["method"] not in TRAINED_METHODS or regression.weight_FC.shape != (card["features"], len(labels)):
            raise ValueError("the card does not fit the weights")
        return TrainedClassifier(name, labels, card["method"], regression, card)
    except Exception as error:  # safetensors raises an exception of its own
        raise GenloomError("tasks.damaged_classifier", name=name, reason=str(error)[:200]) from error
