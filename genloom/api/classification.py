"""Classification of texts by a language model, by a head on its states, or by embeddings; trained ones are kept."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.store.clock import get_now
from genloom.store.files import expand_home
from genloom.text_format import format_count

if TYPE_CHECKING:
    import numpy as np

    from genloom.api.models import Model
    from genloom.api.notebook import Listing
    from genloom.api.workspace import Workspace
    from genloom.assistant.tasks.classifiers import TrainedClassifier
    from genloom.assistant.tasks.tables import Table

LABEL, CONFIDENCE = "predicted_label", "confidence"  # the columns that are added to a table


@dataclass(frozen=True)
class KeptClassifier:
    """A classifier that a workspace keeps: its folder, and its card with labels, method, model, data and quality."""

    folder: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of classifiers."""
        fields = ("method", "labels", "model", "created")
        return {
            "classifier": self.name,
            **{field: self.card.get(field, "") for field in fields},
            "bytes": sum(path.stat().st_size for path in self.folder.iterdir()),
        }


@dataclass(frozen=True)
class LabelledText:
    """A text with its most probable label, and the probability of each label."""

    text: str
    label: str
    confidence: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Classification:
    """Labelled texts, and how they came about."""

    rows: tuple[LabelledText, ...]
    labels: tuple[str, ...]
    method: str
    model: str = ""  # the version that was asked or whose states were read; "" with embeddings
    classifier: "TrainedClassifier | None" = None
    table: "Table | None" = None
    column: str = ""
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many texts have each label."""
        counted = Counter(row.label for row in self.rows)
        return {label: counted[label] for label in self.labels}

    def save(self, path: str | Path) -> Path:
        """Write the table with the columns predicted_label and confidence as CSV; return where it is."""
        from genloom.assistant.tasks.tables import write_csv

        target = expand_home(path)
        given = self.table.rows if self.table else [{"text": row.text} for row in self.rows]
        columns = [*(self.table.columns if self.table else ("text",)), LABEL, CONFIDENCE]
        rows = [
            {**values, LABEL: row.label, CONFIDENCE: f"{row.confidence:.4f}"}
            for values, row in zip(given, self.rows, strict=True)
        ]
        write_csv(target, list(dict.fromkeys(columns)), rows)
        return target

    def to_record(self) -> dict[str, Any]:
        """Return the classification for JSON."""
        return {
            "method": self.method,
            "model": self.model,
            "labels": list(self.labels),
            "classifier": self.classifier.card if self.classifier else None,
            "counts": self.counts,
            "column": self.column,
            "rows": [
                {"label": row.label, "confidence": row.confidence, "probabilities": row.probabilities}
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def classify(
    workspace: "Workspace",
    texts: str | Path | Sequence[str],
    labels: Sequence[str] = (),
    *,
    method: str = "",
    train: Path | str | Sequence[tuple[str, str]] | None = None,
    name: str = "",
    classifier: str = "",
    column: str = "",
    label_column: str = "",
    model: "Model | str" = "",
    progress: bool | None = None,
) -> Classification:
    """Give each text one of the labels, with its probability.

    Parameters
    ----------
    texts
        Texts, or the path of a table (.csv, .tsv or .jsonl).
    labels
        Labels to choose among, two or more; texts with commas between them count as several.
    method
        zero-shot: how likely a chat model finds each label as the answer; it learns nothing. head: a logistic
        regression on the hidden states of a model; embeddings: one on embeddings by MiniLM. "": embeddings with
        `train`, else zero-shot.
    train
        Labelled examples: pairs of a text and its label, or the path of a table. The classifier is kept.
    name
        Name of the classifier that `train` makes. "": that of the file of `train`, which then may replace nothing.
    classifier
        Name of a kept classifier to use, which has its labels and method.
    column, label_column
        Columns of the texts and of the labels in `train`. "": those with the usual names.
    model
        Model for zero-shot and head. "": the newest one that can chat.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.

    Returns
    -------
    Classification
        The label and its probability for each text, and counts; `save` writes the table.

    Raises
    ------
    GenloomError
        tasks.too_few_labels, tasks.label_twice, tasks.label_absent; tasks.no_such_column, tasks.not_a_table;
        tasks.train_needed; tasks.classifier_exists; assistant.no_chat_model.
    """
    from genloom.assistant.tasks import classifiers

    table, values, column = _read_texts(texts, column)
    with workspace.open_bar("Classifying", progress) as bar:

        def report(done: int) -> None:
            bar.update(done / max(len(values), 1), f"{done:,} of {format_count(len(values), 'text')}")

        notes: list[str] = []
        notes += table.list_notes() if table is not None else []
        if classifier:
            if labels or train or method:
                raise GenloomError("tasks.labels_and_classifier")
            trained = classifiers.load_classifier(workspace.folder, classifier)
        else:
            parsed = classifiers.parse_labels([labels] if isinstance(labels, str) else labels)
            method = method or ("embeddings" if train is not None else "zero-shot")
            classifiers.check_method(method)
            if method == "zero-shot":
                if train is not None:
                    raise GenloomError("tasks.train_unused", path=train if isinstance(train, str | Path) else "FILE")
                return _classify_zero_shot(workspace, values, parsed, model, table, column, tuple(notes), report)
            if train is None:
                raise GenloomError("tasks.train_needed", method=method)
            trained = _train_classifier(workspace, parsed, method, train, name, label_column, model, notes)
        return _apply_classifier(workspace, trained, values, table, column, tuple(notes), report)


def list_classifiers(workspace: "Workspace") -> "Listing[KeptClassifier]":
    """Return the classifiers of a workspace by name; those whose card cannot be read are left out."""
    from genloom.api.notebook import Listing
    from genloom.assistant.tasks import classifiers

    found = Listing[KeptClassifier]()
    for name in classifiers.list_classifiers(workspace.folder):
        with suppress(GenloomError):
            folder = workspace.folder / classifiers.FOLDER / name
            found.append(KeptClassifier(folder, classifiers.read_card(folder)))
    return found


def find_classifier_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the folder of a classifier, which may be damaged, for its removal."""
    from genloom.assistant.tasks import classifiers

    return [classifiers.find_folder(workspace.folder, name)]


def _read_texts(texts: str | Path | Sequence[str], column: str) -> "tuple[Table | None, list[str], str]":
    """Return the table of the texts if they are in one, the texts, and their column."""
    from genloom.assistant.tasks.tables import TEXT_COLUMNS, read_text_table

    if not isinstance(texts, str | Path):
        return None, list(texts), ""
    table = read_text_table(expand_home(texts))
    chosen = table.choose_column(column, TEXT_COLUMNS, "texts")
    return table, table.list_values(chosen), chosen


def _read_examples(
    train: Path | str | Sequence[tuple[str, str]], label_column: str, notes: list[str]
) -> tuple[list[str], list[str], str]:
    """Return the texts and labels of the examples, and the name of their file; add what a person should know."""
    from genloom.assistant.tasks.tables import LABEL_COLUMNS, TEXT_COLUMNS, read_text_table

    if not isinstance(train, str | Path):
        pairs = list(train)
        return [text for text, _ in pairs], [label for _, label in pairs], ""
    table = read_text_table(expand_home(train))
    notes += table.list_notes()
    chosen = table.choose_column(label_column, LABEL_COLUMNS, "labels")
    others = [column for column in table.columns if column != chosen]
    if not others:
        raise GenloomError("tasks.column_needed", path=table.path, what="texts", columns=", ".join(table.columns))
    usual = [each for each in TEXT_COLUMNS if each in {column.casefold() for column in others}]
    by_fold = {column.casefold(): column for column in others}
    longest = max(others, key=lambda column: sum(len(row[column]) for row in table.rows[:200]))
    text_column = by_fold[usual[0]] if usual else longest
    return table.list_values(text_column), table.list_values(chosen), str(table.path)


def _train_classifier(
    workspace: "Workspace",
    labels: Sequence[str],
    method: str,
    train: Path | str | Sequence[tuple[str, str]],
    name: str,
    label_column: str,
    model: "Model | str",
    notes: list[str],
) -> "TrainedClassifier":
    """Train a classifier on labelled texts, and keep it in the workspace."""
    from genloom.assistant.tasks import classifiers
    from genloom.assistant.tasks.logistic import NUM_FOLDS

    texts, given, file = _read_examples(train, label_column, notes)
    stem = Path(file).stem if file else "-".join(labels)
    valid_name = classifiers.require_new_name(workspace.folder, name or stem)
    examples, targets_N, num_others = classifiers.select_examples(texts, given, labels)
    if num_others:
        notes.append(f"left out: {format_count(num_others, 'example')} with another label or no text")
    features_NF, lineage = compute_features(workspace, method, examples, model)
    lineage |= {"data": {"file": file, "sha256": classifiers.hash_texts(examples, targets_N.tolist())}}
    lineage |= {"folds": NUM_FOLDS, "created": get_now().isoformat(timespec="seconds")}
    trained = classifiers.train_classifier(valid_name, labels, method, features_NF, targets_N, lineage)
    classifiers.save_classifier(workspace.folder, trained)
    return trained


def compute_features(
    workspace: "Workspace",
    method: str,
    texts: Sequence[str],
    model: "Model | str" = "",
    report: Callable[[int], None] = lambda _: None,
) -> "tuple[np.ndarray, dict[str, Any]]":
    """Return the features of texts for a method, N F, and which model they come from."""
    from genloom.assistant.models import choose_chat_model
    from genloom.assistant.tasks.text_features import compute_embeddings, compute_pooled_states
    from genloom.model import load_for_scoring

    if method == "embeddings":
        return compute_embeddings(texts, report), {}
    if isinstance(model, str):
        chosen = workspace.model(model) if model else choose_chat_model(workspace)
    else:
        chosen = model
    loaded = load_for_scoring(workspace.store, chosen.ref)
    return compute_pooled_states(loaded, texts, report), {"model": chosen.ref, "model_digest": chosen.digest}


def _apply_classifier(
    workspace: "Workspace",
    trained: "TrainedClassifier",
    texts: Sequence[str],
    table: "Table | None",
    column: str,
    notes: tuple[str, ...],
    report: Callable[[int], None],
) -> Classification:
    """Classify texts by a trained classifier; raise GenloomError if the model that it reads is another one now."""
    if not texts:
        return Classification((), trained.labels, trained.method, trained.model, trained, table, column, notes)
    features_NF, lineage = compute_features(workspace, trained.method, texts, trained.model, report)
    if lineage.get("model_digest") != trained.card.get("model_digest"):
        raise GenloomError("tasks.damaged_classifier", name=trained.name, reason=f"{trained.model} has changed")
    probabilities_NC = trained.regression.predict_probabilities(features_NF)
    rows = _to_rows(texts, trained.labels, probabilities_NC)
    return Classification(rows, trained.labels, trained.method, trained.model, trained, table, column, notes)


def _classify_zero_shot(
    workspace: "Workspace",
    texts: Sequence[str],
    labels: tuple[str, ...],
    model: "Model | str",
    table: "Table | None",
    column: str,
    notes: tuple[str, ...],
    report: Callable[[int], None],
) -> Classification:
    from genloom.assistant.models import choose_chat_model
    from genloom.assistant.tasks.zero_shot import score_labels
    from genloom.model import load_for_scoring

    chosen = choose_chat_model(workspace, model if isinstance(model, str) else model.ref)
    loaded = load_for_scoring(workspace.store, chosen.ref)
    probabilities_NC = score_labels(loaded, texts, labels, report=report) if texts else []
    rows = _to_rows(texts, labels, probabilities_NC)
    return Classification(rows, labels, "zero-shot", chosen.ref, None, table, column, notes)


def _to_rows(texts: Sequence[str], labels: Sequence[str], probabilities_NC: Any) -> tuple[LabelledText, ...]:
    rows = []
    for text, row_C in zip(texts, probabilities_NC, strict=True):
        by_label = {label: float(value) for label, value in zip(labels, row_C, strict=True)}
        best = max(by_label, key=lambda label: by_label[label])
        rows.append(LabelledText(text, best, by_label[best], by_label))
    return tuple(rows)
