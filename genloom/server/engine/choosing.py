"""Requests whose outputs are chosen among more: those of a medium with a screen, and those with goals."""

from collections.abc import Generator
from typing import Any

from genloom.api.copies import find_copied_rows
from genloom.api.policy import apply_policy, list_output_texts, list_output_values
from genloom.api.selecting import describe_judgement
from genloom.generate import engine, output_records
from genloom.generate.decode import Draft
from genloom.generate.selection import Candidate, Selection
from genloom.server.engine.drafts import get_finish_reason
from genloom.server.engine.messages import Progress, Stored
from genloom.server.engine.tasks import OutputWriter, ValueTask

PROGRESS_STEPS = 1000


class ChoiceTask(ValueTask):
    """Values that are generated until enough meet what was asked, or the budget is spent; the best are stored."""

    def __init__(self, writer: OutputWriter, selection: Selection):
        self.writer, self.selection, self.has_started = writer, selection, False
        self.work = self._choose()

    def _choose(self) -> Generator[bool]:
        """Yield False after every step; True at the end."""
        writer, selection, self.has_started = self.writer, self.selection, True
        model = writer.loaded.model
        writer.start(PROGRESS_STEPS)
        results: list[tuple[engine.Request, Draft]] = []
        try:
            for batch in selection.iter_batches():
                draft, total = None, engine.count_drafts(model, batch)
                for step, latest in enumerate(engine.generate(model, batch), start=1):
                    draft = latest
                    share = len(batch.prompts) / selection.report.budget * min(step / total, 1)
                    writer.send(Progress(int(min(selection.share + share, 1) * PROGRESS_STEPS), PROGRESS_STEPS, ""))
                    yield False
                assert draft is not None, "a request yields at least one draft"
                values = list_output_values(writer.workspace, model, draft)
                apply_policy(writer.workspace, list_output_texts(model, draft), model.ref, "output", values)
                data = writer.training_data
                selection.add(draft, find_copied_rows(data, draft.continuations) if data is not None else ())
                results.append((batch, draft))
                writer.num_tokens += sum(draft.num_tokens)
        except BaseException as error:
            writer.release(slice(0, None))
            if isinstance(error, GeneratorExit):
                writer.close()
            raise
        store_choice(writer, selection, results)
        writer.close()
        yield True


def store_choice(writer: OutputWriter, selection: Selection, results: list[tuple[engine.Request, Draft]]) -> None:
    """Store the chosen outputs under the ids of the rows they answer; the others of a row are withheld."""
    open_rows = [[row for row, group in enumerate(selection.rows) if group == n] for n in range(len(selection.groups))]
    placed: list[tuple[int, Candidate]] = [(open_rows[each.group].pop(0), each) for each in selection.choose()]
    left = sorted(row for rows in open_rows for row in rows)
    metadata = {**writer.request.metadata, **({"owner": writer.request.owner} if writer.request.owner else {})}
    model = writer.loaded.model

    def write() -> None:
        for row, candidate in placed:
            batch, draft = results[candidate.batch]
            rows = len(batch.prompts)
            notes: list[dict[str, Any]] = [{} for _ in range(rows)]
            notes[candidate.row] = dict(writer.built.row_metadata[row]) if writer.built.row_metadata else {}
            if selection.edit is not None:
                notes[candidate.row]["judgement"] = describe_judgement(candidate.judgement)
            reserved = [writer.output_ids[row]] * rows
            withheld = set(range(rows)) - {candidate.row}
            output_records.store_outputs(
                writer.workspace.store, model, batch, draft, metadata, notes, reserved, withheld
            )
            reason = get_finish_reason(draft, candidate.row)
            num_tokens = draft.num_tokens[candidate.row]
            writer.send(Stored(writer.built.indices[row], writer.output_ids[row], reason, "", num_tokens))
        for row in left:
            writer.workspace.store.release_output(writer.output_ids[row])
            writer.send(Stored(writer.built.indices[row], "", "withheld", "", 0))

    writer.run_later(write)
