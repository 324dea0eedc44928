"""Generation of outputs that are chosen among more, ranked, and stored with how well they meet what was asked."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genloom.api.generation import GenerationProgress, iter_batch
from genloom.api.outputs import Output
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.generate.decode import Draft
    from genloom.generate.engine import Request
    from genloom.generate.selection import Selection

PROGRESS_STEPS = 1000


def iter_selected(
    workspace: "Workspace", selection: "Selection", is_marked: bool = True, training_data: Any = None
) -> Generator[GenerationProgress | Output]:
    """Generate until enough outputs meet what was asked, or the budget is spent; yield the steps, then the best.

    Outputs that copy the training data, if these are given, are not handed out. Raise GenloomError
    (generate.nothing_selected) if no output may be.
    """
    from genloom.api.copies import find_copied_rows

    model, report = selection.model, selection.report
    progress = GenerationProgress(0, PROGRESS_STEPS, report.num_wanted, None, False, 0, report)
    batches: list[tuple[Request, Draft, list[dict[str, Any]]]] = []
    num_copied = 0
    if understood := getattr(selection.edit, "understood", ""):
        yield replace(progress, understood=understood)
    for batch in selection.iter_batches():
        yield from iter_steps(workspace, selection, batch, progress, is_marked, batches)
        _, draft, _ = batches[-1]
        copied = find_copied_rows(training_data, draft.continuations) if training_data is not None else ()
        num_copied += len(copied)
        selection.add(draft, copied)
        report.num_met = selection.count_met()
    chosen = selection.choose()
    yield replace(progress, step=PROGRESS_STEPS, draft=batches[-1][1], num_withheld=num_copied)
    if not chosen:
        reasons = ", ".join(f"{count:,} × {reason}" for reason, count in report.withheld.most_common(4))
        raise GenloomError("generate.nothing_selected", model=model.ref, count=report.num_generated, reasons=reasons)
    ids = store_chosen(workspace, selection, batches, chosen)
    for candidate in chosen:
        yield workspace.output(ids[candidate.batch, candidate.row])


def iter_steps(
    workspace: "Workspace",
    selection: "Selection",
    batch: "Request",
    progress: GenerationProgress,
    is_marked: bool,
    batches: list[Any],
) -> Generator[GenerationProgress]:
    """Generate a batch and append it to `batches`; yield its steps, as parts of the whole work."""
    work = iter_batch(workspace, selection.model, batch, progress, is_marked=is_marked)
    share = len(batch.prompts) / selection.report.budget
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            batches.append(end.value)
            return
        done = min(selection.share + share * event.step / event.total, 1.0)
        yield replace(event, step=int(done * (PROGRESS_STEPS - 1)), total=PROGRESS_STEPS)


def store_chosen(
    workspace: "Workspace", selection: "Selection", batches: list[Any], chosen: list[Any]
) -> Mapping[tuple[int, int], str]:
    """Store the chosen outputs with their judgements; return their ids by batch and row."""
    from genloom.generate import output_records

    ids: dict[tuple[int, int], str] = {}
    for number, (batch, draft, row_metadata) in enumerate(batches):
        judged = {candidate.row: candidate.judgement for candidate in chosen if candidate.batch == number}
        if not judged:
            continue
        metadata = [
            {**notes, **({"judgement": describe_judgement(judged[row])} if row in judged and selection.edit else {})}
            for row, notes in enumerate(row_metadata)
        ]
        withheld = {row for row in range(len(batch.prompts)) if row not in judged}
        stored = output_records.store_outputs(
            workspace.store, selection.model, batch, draft, row_metadata=metadata, withheld_rows=withheld
        )
        ids |= dict(zip(((number, row) for row in sorted(judged)), stored, strict=True))
    return ids


def describe_judgement(judgement: Any) -> dict[str, Any]:
    """Return what the record of an output keeps of its judgement."""
    return {"is_met": judgement.is_met, "score": round(judgement.score, 6), **judgement.facts}
