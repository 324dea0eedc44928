"""The privacy of training data: the losses, continuations and outputs of a model that the measures need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from genloom.errors import GenloomError
from genloom.option_names import name_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genloom.api.models import Model
    from genloom.evaluate.context import EvaluationContext
    from genloom.evaluate.progress import Progress
    from genloom.model import Model as LoadedModel
    from genloom.store.dataset import Dataset, Split
    from genloom.trust.privacy import Exposure, Extraction, Membership, PersonalData, PrivacyReport
    from genloom.types import Item

_MAX_UNITS = 2000  # of a document that is read for its loss: the beginning
_EXTRACTED_CHARS = 50  # that must agree; about ten words
_MAX_OUTPUTS = 1000  # the newest ones, that are searched for personal data


def measure_privacy(
    model: "Model", *, documents: int = 100, precision: str = "float32", progress: "bool | Progress | None" = None
) -> "PrivacyReport":
    """Measure what the model reveals of its training data, with intervals, and store the report beside its evaluations.

    Membership inference by the loss, also beside that of the model it was tuned from; verbatim continuation of
    training documents; exposure of canaries (`train` with `canaries`); personal data in its stored outputs.

    Parameters
    ----------
    documents
        Number of training and of held-out documents to compare.
    precision
        float32, bfloat16, int8 or int4.
    progress
        Whether progress is shown on standard error (None: in notebooks only), or an object with `print_note` and
        `show_progress`.

    Returns
    -------
    PrivacyReport
        The measures, each with its interval, and notes on those that the model does not allow.

    Raises
    ------
    GenloomError
        api.privacy_without_data: its training data are not in the workspace.
    """
    from genloom.api.evaluations import choose_progress
    from genloom.evaluate.context import EvaluationContext
    from genloom.evaluate.training_sources import find_training_sources

    store, loaded = model.workspace.store, model.load((), precision)
    sources = find_training_sources(store, loaded)
    if not sources.datasets:
        raise GenloomError("api.privacy_without_data", model=model.ref, reason="; ".join(sources.missing))
    shown = choose_progress(model.workspace, progress)
    context = EvaluationContext(store, loaded, sources.datasets[0], progress=shown)
    report = _Measurement(model, context, documents, precision).build_report()
    report.save(store.root / "reports" / f"{model.ref}-privacy".replace("/", "-"))
    return report


@dataclass(frozen=True)
class _Measurement:
    """The inputs that the measures of one model share."""

    model: "Model"
    context: "EvaluationContext"
    count: int
    precision: str

    @property
    def dataset(self) -> "Dataset":
        return self.context.dataset

    def build_report(self) -> "PrivacyReport":
        from genloom.trust.privacy import PrivacyReport

        train, held_out, notes = self._sample("train"), self._sample("val"), list[str]()
        membership = calibrated = None
        if train and held_out:
            membership, calibrated = self._measure_membership(train, held_out)
        else:
            notes.append("membership was not measured: the data hold nothing out")
        extraction = self._measure_extraction(train, held_out)
        if extraction is None:
            notes.append("extraction was not measured: the model does not continue the beginning of a document")
        exposure = self._measure_exposure()
        if exposure is None:
            notes.append(name_options("canaries were not measured: the data hold none (train with --canaries)"))
        personal_data = self._count_personal_data()
        if personal_data is None:
            notes.append("personal data were not looked for: there are no stored outputs of text")
        data = f"{self.dataset.name}@{self.dataset.digest[:12]}"
        return PrivacyReport(
            self.model.ref,
            data,
            membership,
            calibrated,
            extraction,
            exposure,
            personal_data,
            tuple(notes),
            self.model.digest,
        )

    def _sample(self, split: "Split") -> "list[Item]":
        """Return the beginnings of random documents, without canaries."""
        from dataclasses import replace

        from genloom.media.abilities import get_ability
        from genloom.trust.canaries import iter_canaries

        cut = get_ability(self.context.medium, "cut")
        canaries = [item.meta["id"] for item in iter_canaries(self.dataset)]
        items = self.dataset.exclude(canaries).sample_documents(split, self.count)
        return [replace(item, value=cut(item.value, _MAX_UNITS)) for item in items]

    def _measure_membership(
        self, train: "Sequence[Item]", held_out: "Sequence[Item]"
    ) -> "tuple[Membership, Membership | None]":
        from genloom.trust.privacy import measure_membership

        loaded, parent = self.context.model, self.model.folder.parent_ref
        losses = [compute_losses(self.context, loaded, items) for items in (train, held_out)]
        plain = measure_membership(losses[0], losses[1])
        try:
            reference = self.model.workspace.model(parent).load((), self.precision) if parent else None
        except GenloomError:  # it was removed
            reference = None
        if reference is None:
            return plain, None
        if type(reference.codec.space) is not type(loaded.codec.space):
            return plain, None
        known = [compute_losses(self.context, reference, items) for items in (train, held_out)]
        return plain, measure_membership(losses[0] - known[0], losses[1] - known[1], parent)

    def _measure_extraction(self, train: "Sequence[Item]", held_out: "Sequence[Item]") -> "Extraction | None":
        from genloom import plugins
        from genloom.conditioners import PROMPT
        from genloom.evaluate.context import EvaluationOptions
        from genloom.evaluate.sampling import generate_for_prompts
        from genloom.generate import engine
        from genloom.trust.privacy import measure_extraction

        loaded = self.context.model
        part = plugins.find_medium_part("copies", loaded.design.medium)
        split_prefix = getattr(part, "split_prefix", None)
        is_continuing = engine.is_open_sequence(loaded.codec.space) and engine.is_left_to_right(loaded)
        if split_prefix is None or not is_continuing or PROMPT in loaded.conditioners:
            return None
        options = EvaluationOptions(max_tokens=2 * _EXTRACTED_CHARS, temperature=0.0)
        found = []
        for items in (train, held_out):
            pairs = [pair for item in items if all(pair := split_prefix(item.value))]
            prompts = [prefix for prefix, _ in pairs]
            values = generate_for_prompts(loaded, options, prompts, self.context.progress) if prompts else []
            found.append([(value[len(prefix) :], rest) for value, (prefix, rest) in zip(values, pairs, strict=True)])
        return measure_extraction(found[0], found[1], _EXTRACTED_CHARS) if found[0] else None

    def _measure_exposure(self) -> "Exposure | None":
        from genloom.trust.canaries import draw_candidates, iter_canaries
        from genloom.trust.privacy import measure_exposure
        from genloom.types import Item

        canaries = list(iter_canaries(self.dataset))
        if not canaries:
            return None
        candidates = [Item(value) for value in draw_candidates(self.dataset.medium)]
        losses = [compute_losses(self.context, self.context.model, items) for items in (canaries, candidates)]
        return measure_exposure(losses[0], losses[1])

    def _count_personal_data(self) -> "PersonalData | None":
        from genloom import plugins
        from genloom.trust.privacy import count_personal_data

        part = plugins.find_medium_part("copies", self.context.model.design.medium)
        find_personal_data = getattr(part, "find_personal_data", None)
        if find_personal_data is None:
            return None
        own = (output for output in reversed(self.model.workspace.outputs) if output.model == self.model.ref)
        found: list[Mapping[str, int]] = [
            find_personal_data(output.continuation) for output in islice(own, _MAX_OUTPUTS)
        ]
        return count_personal_data(found)


def compute_losses(
    context: "EvaluationContext", model: "LoadedModel", items: "Sequence[Item]"
) -> "NDArray[np.float64]":
    """Return the loss of each item: nats per unit of a sequence, the objective's loss per term of another value."""
    from dataclasses import replace

    from genloom.evaluate.held_out import score_samples, score_values
    from genloom.generate import engine

    context = replace(context, model=model)
    if engine.is_open_sequence(model.codec.space):
        losses = score_values(context, [item.value for item in items], items).losses
    else:
        losses = score_samples(context, items).losses
    return losses.nats / losses.num_units
