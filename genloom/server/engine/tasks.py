"""The requests that the engine works on: texts in a batch, values of any medium, and short computations."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genloom import plugins
from genloom.api.copies import find_copied_rows, find_searchable_data
from genloom.api.policy import apply_policy, list_output_texts, list_output_values
from genloom.api.workspace import Workspace
from genloom.capabilities import StreamingCodec
from genloom.errors import GenloomError
from genloom.generate import engine, output_records
from genloom.generate.continuous_batching import (
    ContinuousBatch,
    RunningSequence,
)
from genloom.generate.decode import Draft
from genloom.media.abilities import get_ability
from genloom.server.engine.building import BuiltRequest, build_fingerprint, build_rows
from genloom.server.engine.drafts import (
    PreviewClock,
    count_text_tokens,
    describe_logprob,
    find_stop_text,
    get_finish_reason,
    iter_scores,
)
from genloom.server.engine.loading import LoadedModel
from genloom.server.engine.messages import (
    EngineEvent,
    Finished,
    GenerationRequest,
    Preview,
    Progress,
    Started,
    Stored,
    Text,
    TokenLogprob,
)
from genloom.server.reasoning import count_reasoning_tokens

Send = Callable[[EngineEvent], None]
RunLater = Callable[[Callable[[], None]], None]  # runs a function in the thread that writes to the disk
PIECE_SECONDS = 0.03  # at least, between two pieces of a text: sending each takes a share of the time of a short step


class Task:
    """A request in work: `step` does a little and returns whether it is done; `cancel` ends it before its time."""

    def step(self) -> bool:
        raise NotImplementedError

    def cancel(self) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class OutputWriter:
    """The ids and records of the outputs of one request, stored in another thread."""

    workspace: Workspace
    loaded: LoadedModel
    request: GenerationRequest
    built: BuiltRequest
    send: Send
    run_later: RunLater
    output_ids: list[str] = field(default_factory=list)
    num_tokens: int = 0
    num_cached: int = 0
    num_reasoning_tokens: int = 0
    training_data: Any = None  # that outputs must not copy; None: it is not searched
    held_texts: dict[int, list[Text]] = field(default_factory=dict)  # until the output turns out to be no copy

    def send_text(self, event: Text, *, is_first: bool) -> None:
        """Send new characters at once, or keep them until it is known whether the output may be handed out."""
        if is_first and self.built.opening:
            event = replace(event, text=self.built.opening + event.text)
        if self.training_data is None:
            self.send(event)
        else:
            self.held_texts.setdefault(event.index, []).append(event)

    @property
    def num_prompt_tokens(self) -> int:
        """The tokens of all prompts, each once."""
        return sum(self.built.num_prompt_tokens[:: max(self.request.n, 1)])

    def start(self, num_steps: int, prompt_logprobs: Sequence[Sequence[TokenLogprob]] = ()) -> None:
        self.output_ids = [self.workspace.store.reserve_output() for _ in self.built.indices]
        self.send(self.describe(num_steps, prompt_logprobs))

    def describe(self, num_steps: int, prompt_logprobs: Sequence[Sequence[TokenLogprob]]) -> Started:
        model = self.loaded.model
        return Started(
            self.output_ids,
            model.ref,
            model.design.medium,
            build_fingerprint(model, self.built.request.marking_key),
            self.num_prompt_tokens,
            self._list_prompts(),
            [list(row) for row in prompt_logprobs],
            num_steps,
        )

    def _list_prompts(self) -> list[str]:
        codec: Any = self.loaded.model.codec
        rows = self.built.request
        if rows.prompt_ids and not self.request.messages:
            ids = [[token for token in row if token != codec.space.bos] for row in rows.prompt_ids]
            return [codec.decode(row) for row in ids]
        return list(rows.prompts)

    def store(
        self, rows: slice, request: engine.Request, draft: Draft, finish_reasons: Sequence[str], stop_text: str = ""
    ) -> None:
        """Store the outputs of these rows, and send their events once they are on disk.

        Raise GenloomError (trust.content_policy) for a text that the content rules refuse; it is not stored.
        """
        try:
            model = self.loaded.model
            values = list_output_values(self.workspace, model, draft)
            apply_policy(self.workspace, list_output_texts(model, draft), model.ref, "output", values)
        except GenloomError:
            self.release(rows)
            raise
        self.num_tokens += sum(draft.num_tokens)
        metadata = {**self.request.metadata, **({"owner": self.request.owner} if self.request.owner else {})}
        reserved = self.output_ids[rows]

        def write() -> None:
            withheld = set[int]()
            if self.training_data is not None:
                withheld = find_copied_rows(self.training_data, draft.continuations)
            output_records.store_outputs(
                self.workspace.store,
                self.loaded.model,
                request,
                draft,
                metadata,
                self.built.row_metadata[rows],
                reserved,
                withheld,
            )
            for at, reason in enumerate(finish_reasons):
                text, num_reasoning = self.read_answer(draft, at)
                index = self.built.indices[rows.start + at]
                texts = self.held_texts.pop(index, ())
                if at in withheld:
                    self.workspace.store.release_output(reserved[at])
                    self.send(Stored(index, "", "withheld", "", draft.num_tokens[at]))
                    continue
                for event in texts:
                    self.send(event)
                self.num_reasoning_tokens += num_reasoning
                self.send(Stored(index, reserved[at], reason, text, draft.num_tokens[at], stop_text, num_reasoning))

        self.run_later(write)

    def read_answer(self, draft: Draft, at: int) -> tuple[str, int]:
        """Return the text of an output as it is sent, "" without any, and the number of tokens of its reasoning."""
        codec = self.loaded.model.codec
        if not isinstance(codec, StreamingCodec):
            return "", 0
        text = self.built.opening + draft.continuations[at]
        ids = draft.token_ids[at] if len(draft.token_ids) else ()
        return text, count_reasoning_tokens(text, ids, lambda part: str(codec.decode(np.asarray(part, np.int64))))

    def release(self, rows: slice) -> None:
        """Give up the ids of rows that are not stored."""
        for output in self.output_ids[rows]:
            self.workspace.store.release_output(output)

    def close(self) -> None:
        """Say that no further outputs come; the request is finished when the last is on disk."""
        self.run_later(
            lambda: self.send(
                Finished(self.num_prompt_tokens, self.num_cached, self.num_tokens, self.num_reasoning_tokens)
            )
        )


@dataclass(eq=False)
class Choice:
    """One text of a request."""

    row: int
    sequence: RunningSequence
    shown: str = ""
    held_logprobs: list[TokenLogprob] = field(default_factory=list)
    num_sent_logprobs: int = 0
    sent_at: float = 0.0


class TextTask(Task):
    """Texts that are written in the model's batch, each as a sequence of its own."""

    def __init__(self, writer: OutputWriter, batch: ContinuousBatch, has_room: Callable[[int], bool]):
        self.writer, self.batch, self.has_room = writer, batch, has_room
        self.choices: dict[RunningSequence, Choice] = {}
        self.num_added, self.is_cancelled, self.has_started = 0, False, False
        self.scoring = self._iter_scores() if writer.request.should_score_prompt else None
        self.prompt_logprobs: list[list[TokenLogprob]] = []

    @property
    def num_rows(self) -> int:
        return len(self.writer.built.indices)

    def step(self) -> bool:
        """Score a piece of the prompts, or add the rows that have room; the batch's own steps write them."""
        if self.scoring is not None and next(self.scoring, None) is not None:
            return False
        self.scoring = None
        if not self.has_started:
            self.has_started = True
            self.writer.start(1, self.prompt_logprobs)
        rows = self.writer.built.request
        while self.num_added < self.num_rows:
            row = self.num_added
            request = engine.slice_request(rows, slice(row, row + 1))
            if not self.has_room(self.writer.built.num_prompt_tokens[row] + int(request.params.get("max_tokens") or 0)):
                return False
            sequence = self.batch.add_sequence(request, self.writer.request.num_logprobs)
            self.choices[sequence] = Choice(row, sequence)
            self.writer.num_cached += sequence.num_reused
            self.num_added += 1
        return self._is_done()

    def show(self, sequence: RunningSequence) -> bool:
        """Send what a step has written of one of the texts; return whether all are done."""
        if sequence.error is not None:
            raise sequence.error
        choice, draft = self.choices[sequence], sequence.draft
        assert draft is not None
        choice.held_logprobs += [describe_logprob(self.batch.model, each) for each in sequence.new_logprobs]
        if sequence.is_done:
            num_kept = count_text_tokens(self.batch.model, sequence.request, draft)
            del choice.held_logprobs[max(num_kept - choice.num_sent_logprobs, 0) :]
        if isinstance(self.batch.model.codec, StreamingCodec):
            self._send_text(choice, draft.continuations[0], sequence.is_done)
        elif sequence.num_generated % 16 == 0:
            self.writer.send(Progress(sequence.num_generated, sequence.max_tokens, ""))
        if sequence.is_done:
            self._store(choice, draft, get_finish_reason(draft))
        return self._is_done()

    def _send_text(self, choice: Choice, text: str, is_last: bool) -> None:
        delta, now = text[len(choice.shown) :], time.monotonic()
        if (delta and now - choice.sent_at >= PIECE_SECONDS) or (is_last and (delta or choice.held_logprobs)):
            index = self.writer.built.indices[choice.row]
            self.writer.send_text(Text(index, delta, choice.held_logprobs), is_first=not choice.shown)
            choice.num_sent_logprobs += len(choice.held_logprobs)
            choice.shown, choice.held_logprobs, choice.sent_at = text, [], now

    def _store(self, choice: Choice, draft: Draft, reason: str) -> None:
        del self.choices[choice.sequence]
        request = choice.sequence.request
        if reason == "cancelled":
            request = engine.truncate_request(request, draft)
        stop_text = find_stop_text(choice.sequence, draft) if reason == "stop" and request.stop else ""
        self.writer.store(slice(choice.row, choice.row + 1), request, draft, [reason], stop_text)

    def _is_done(self) -> bool:
        is_done = not self.choices and (self.num_added == self.num_rows or self.is_cancelled)
        if is_done:
            self.writer.close()
        return is_done

    def cancel(self) -> None:
        self.is_cancelled = True
        for choice in list(self.choices.values()):
            is_running = choice.sequence in self.batch.sequences
            if is_running and self.writer.request.keeps_partial and choice.sequence.num_generated:
                draft = self.batch.finish(choice.sequence)
                self._send_text(choice, draft.continuations[0], True)
                self._store(choice, draft, "cancelled")
            else:
                if is_running:
                    self.batch.remove_sequence(choice.sequence)
                self.writer.release(slice(choice.row, choice.row + 1))
        self.choices.clear()
        self.writer.release(slice(self.num_added, None))
        self.num_added = self.num_rows
        self._is_done()

    def _iter_scores(self) -> Iterator[bool]:
        """Compute the log-probabilities of the prompts, a piece at a time."""
        for found in iter_scores(self.batch.model, self.writer.built.request, self.writer.request):
            if found is None:
                yield True
            else:
                self.prompt_logprobs.append(found)


class ValueTask(Task):
    """Values of any medium, batch by batch, with what they look like while they form."""

    def __init__(self, writer: OutputWriter):
        self.writer, self.has_started = writer, False
        model = writer.loaded.model
        self.batches = engine.split_batches(writer.built.request, engine.fit_batch_size(model))
        self.work = self._run()

    def step(self) -> bool:
        return next(self.work, True)

    def cancel(self) -> None:
        self.work.close()
        if not self.has_started:
            self.writer.release(slice(0, None))
            self.writer.close()

    def _run(self) -> Generator[bool]:
        """Yield False after every step; True at the end."""
        writer, first, num_done, self.has_started = self.writer, 0, 0, True
        model = writer.loaded.model
        totals = [engine.count_drafts(model, batch) for batch in self.batches]
        writer.start(sum(totals))
        is_streamed = len(writer.built.indices) == 1 and engine.can_stream_text(model)
        try:
            for batch, total in zip(self.batches, totals, strict=True):
                rows, draft, shown = slice(first, first + len(batch.prompts)), None, ""
                previews = PreviewClock(0 if writer.training_data is not None else writer.request.num_previews, total)
                for step, draft in enumerate(engine.generate(model, batch), start=1):
                    if is_streamed:
                        text = draft.continuations[0]
                        event = Text(writer.built.indices[0], text[len(shown) :])
                        writer.send_text(event, is_first=step == 1)
                        shown = text
                    else:
                        writer.send(Progress(num_done + min(step, total), sum(totals), ""))
                    if previews.is_due(step):
                        self._send_previews(rows, draft, previews.count)
                    yield False
                assert draft is not None, "a request yields at least one draft"
                reasons = [get_finish_reason(draft, row) for row in range(len(batch.prompts))]
                writer.store(rows, batch, draft, reasons)
                first, num_done = rows.stop, num_done + total
        except BaseException as error:
            writer.release(slice(first, None))
            if isinstance(error, GeneratorExit):
                writer.close()
            raise
        writer.close()
        yield True

    def _send_previews(self, rows: slice, draft: Draft, number: int) -> None:
        medium = plugins.find_part("medium", self.writer.loaded.model.design.medium)
        for at, value in enumerate(draft.values):
            shown = get_ability(medium, "show")(value)
            index = self.writer.built.indices[rows.start + at]
            self.writer.send(Preview(index, number - 1, shown.mime, shown.data))


class ShortTask(Task):
    """A computation in steps that ends with a result: an embedding, a count of tokens, a description."""

    def __init__(self, work: Iterator[Any], send_result: Callable[[Any], None]):
        self.work, self.send_result = work, send_result

    def step(self) -> bool:
        result = next(self.work)
        if result is None:
            return False
        self.send_result(result)
        return True

    def cancel(self) -> None:
        self.work = iter(())


def build(
    workspace: Workspace, loaded: LoadedModel, request: GenerationRequest, send: Send, run_later: RunLater
) -> OutputWriter:
    """Return the writer of a request's outputs; raise GenloomError for what the model cannot do."""
    training_data = (
        find_searchable_data(workspace, loaded.model.ref, loaded.model.adapters) if request.refuse_copies else None
    )
    built = build_rows(workspace, loaded.model, request)
    return OutputWriter(workspace, loaded, request, built, send, run_later, training_data=training_data)
