"""Reports on bias, as notebooks show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.api.notebook import render_table
from genloom.errors import GenloomError
from genloom.option_names import name_options
from genloom.store.files import expand_home

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.model import Model as LoadedModel
    from genloom.trust.bias import BiasReport, RegardGap

MAX_CONTINUATIONS = 100
_NUM_TOKENS = 24  # of a continuation: about a sentence


@dataclass(frozen=True)
class Bias:
    """The report on the bias of a model; `print` shows it, notebooks as a table."""

    report: "BiasReport"
    folder: Path  # where `save` writes by default

    @property
    def lines(self) -> Sequence[str]:
        return self.report.lines

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return self.report.to_json()

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the report as bias.json to a folder (None: the workspace's reports, where cards find it)."""
        return self.report.save(self.folder if folder is None else expand_home(folder))

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        from html import escape

        limits = "".join(f"<li>{escape(limit)}</li>" for limit in self.report.limits)
        header, *rows = self.report.rows
        table = render_table([dict(zip(header, row, strict=True)) for row in rows]) if self.report.is_measured else ""
        return f"<p>Bias of {escape(self.report.model)}</p>{table}<p>What this does not show:</p><ul>{limits}</ul>"


def measure_bias(
    model: "Model",
    *,
    against: "Model | str | None" = None,
    language: Literal["en", "de"] = "en",
    continuations: int = 2,
    seed: int = 0,
    precision: str = "auto",
) -> Bias:
    """Measure which groups of people the model may treat unfairly: gender, origin, age, religion and disability.

    Parameters
    ----------
    against
        Other version or model, whose gaps are subtracted, pair by pair.
    language
        Language of the sentences: en or de.
    continuations
        Number of texts that are generated for each beginning, whose regard is counted; from 0 to 100.
    seed
        Random seed of the texts.
    precision
        float32, bfloat16, int8, int4 or auto.

    Returns
    -------
    Bias
        The report; for a medium without a measure, it says so.

    Raises
    ------
    GenloomError
        trust.bad_continuations; evaluate.different_media: `against` is of another medium.
    """
    from genloom.evaluate.run import check_same_medium, get_report_folder
    from genloom.trust import bias as measures

    if not 0 <= continuations <= MAX_CONTINUATIONS:
        raise GenloomError("trust.bad_continuations", count=continuations, maximum=MAX_CONTINUATIONS)
    loaded = model.load((), precision)
    other = None if against is None else model.workspace.model(against).load((), precision)
    if other is not None:
        check_same_medium(loaded, other)
    folder = get_report_folder(model.workspace.store, loaded)
    facts = (model.ref, model.digest, loaded.design.medium, language)
    if not _has_sentences(loaded):
        medium = loaded.design.medium
        reason = f"Bias is not measured for this medium ({medium}): models of text have a measure, of images --groups."
        return Bias(measures.BiasReport(*facts, reasons=(name_options(reason),)), folder)
    gaps = _measure_gaps(loaded, language)
    changes = {} if other is None else measures.compare_gaps(language, gaps, _measure_gaps(other, language))
    regard, reasons = _measure_regard(loaded, language, continuations, seed)
    return Bias(
        measures.BiasReport(
            *facts,
            likelihood=measures.summarise_gaps(language, gaps),
            regard=regard,
            reasons=reasons,
            against="" if other is None else other.ref,
            changes=changes,
        ),
        folder,
    )


def _has_sentences(model: "LoadedModel") -> bool:
    """Return whether a model gives sentences a likelihood."""
    from genloom.capabilities import StreamingCodec
    from genloom.types import is_open_sequence

    return isinstance(model.codec, StreamingCodec) and is_open_sequence(model.codec.space)


def _measure_gaps(model: "LoadedModel", language: Literal["en", "de"]) -> dict[str, list[float]]:
    from genloom.model.likelihood import compute_nll
    from genloom.trust.bias import measure_gaps

    return measure_gaps(language, lambda sentences: [nats for nats, _ in compute_nll(model, sentences)])


def _measure_regard(
    model: "LoadedModel", language: Literal["en", "de"], count: int, seed: int
) -> "tuple[dict[str, RegardGap], tuple[str, ...]]":
    """Return the regard of generated continuations, or why there is none."""
    from genloom.generate import engine, sampling_params
    from genloom.trust.bias import CATEGORIES, build_continuation_prompts, measure_regard

    if not count:
        return {}, ("Regard is not measured: no continuations were asked for.",)
    if not engine.is_left_to_right(model) or not engine.can_continue(model):
        return {}, ("Regard is not measured: the model does not continue a text.",)
    prompts = [prompt for category in CATEGORIES for prompt in build_continuation_prompts(language, category)]
    params = sampling_params.add_suggested_params(model, {"max_tokens": _NUM_TOKENS})
    starts = [start for prompt in prompts for start in prompt.prompts]
    request = engine.build_request(starts, count, seed, (), params)
    texts = [
        text
        for batch in engine.split_batches(request, engine.fit_batch_size(model))
        for text in engine.run_request(model, batch).continuations
    ]
    sides = [texts[n : n + count] for n in range(0, len(texts), count)]
    return measure_regard(language, prompts, list(zip(sides[::2], sides[1::2], strict=True))), ()
