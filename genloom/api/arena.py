"""Blind choices between pairs of answers."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from genloom.api.outputs import Output
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.model import Model as LoadedModel
    from genloom.rate.ratings import Winner
    from genloom.store.ledger import Event

Pair = tuple[str, str]


@dataclass(frozen=True)
class Trial:
    """Two answers to one prompt; nothing says which model generated which."""

    arena: "Arena" = field(repr=False)
    prompt: str
    a: Output
    b: Output
    position: int  # counted from 1
    count: int  # of trials in the session
    event_id: str = field(repr=False)  # of the choice: the same choice twice is recorded once

    def choose(self, winner: "Winner") -> "Event":
        """Record the better answer: "a" or "b"; "tie" if they are equal, "bad" if both are bad."""
        event = self.arena.workspace.choose(self.a, self.b, winner, rater=self.arena.rater, id=self.event_id)
        self.arena.num_choices += 1
        return event

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from html import escape

        from genloom.api.outputs import to_html

        cells = [
            f'<td style="vertical-align: top; text-align: left"><b>{name}</b>{to_html(output.show())}</td>'
            for name, output in (("a", self.a), ("b", self.b))
        ]
        title = f"{self.position} of {self.count} · {escape(self.prompt)}"
        text = f"{self.position} of {self.count} · {self.prompt}\n── a\n{self.a}\n── b\n{self.b}"
        return {"text/plain": text, "text/html": f"<p>{title}</p><table><tr>{''.join(cells)}</tr></table>"}


class Arena:
    """A session of blind choices: iterate over the trials, and call `choose` on each.

    Answers are generated and stored as they are needed; while you read one pair, the next is generated. The same
    models, prompts and settings continue a session where it was left.
    """

    def __init__(
        self,
        model: "Model",
        prompts: Sequence[str],
        *,
        against: "Model | None" = None,
        is_chat: bool = False,
        repeats: float = 0.1,
        rater: str = "",
        given: Mapping[str, Any],
        params: Mapping[str, Any],
    ):
        from genloom.api.generation import add_default_temperature, parse_given_texts
        from genloom.conditioners import format_given
        from genloom.rate.session import compute_session_id, schedule_trials

        if params.get("temperature") == 0 and against is None:
            raise GenloomError("api.arena_temperature_zero")
        self.workspace, self.prompts, self.is_chat = model.workspace, list(dict.fromkeys(prompts)), is_chat
        if not given and not any(prompt.strip() for prompt in self.prompts):
            raise GenloomError("api.arena_prompts_missing")
        if against is not None and against.ref == model.ref:
            raise GenloomError("api.arena_same_model", model=model.ref)
        self.first, self.second = (each.load((), "float32") for each in (model, against or model))
        self.given = parse_given_texts(self.first, given)
        self.params = add_default_temperature(self.first, params)
        self.rater = rater or self.workspace.get_rater()
        digests = [str(each.folder and each.folder.digest) for each in (self.first, self.second)]
        settings: dict[str, Any] = {**self.params, "chat": self.is_chat}
        if given:
            settings["given"] = format_given(self.first.conditioners, self.given)
        self.session_id = compute_session_id(digests, self.prompts, settings)
        self.schedule = schedule_trials(self.session_id, self.prompts, self.rater, repeats)
        self.num_choices = 0  # made through this object

    def __len__(self) -> int:
        return len(self.schedule)

    def __iter__(self) -> Generator[Trial]:
        """Yield the trials that have no choice yet."""
        answered_ids = {event.id for event in self.workspace.ledger.iter_events(["choice"])}
        pending = [trial for trial in self.schedule if trial.event not in answered_ids]
        pairs: dict[str, Pair | Future[Pair]] = dict(self.load_pairs())
        stop_event = Flag()
        with ThreadPoolExecutor(max_workers=1) as executor:

            def start(prompt: str) -> Pair | Future[Pair]:
                if prompt not in pairs:
                    pairs[prompt] = executor.submit(self._generate_pair, prompt, stop_event)
                return pairs[prompt]

            try:
                for n, trial in enumerate(pending):
                    pair = start(trial.prompt)
                    if isinstance(pair, Future):
                        pair = pairs[trial.prompt] = pair.result()
                    if n + 1 < len(pending):
                        start(pending[n + 1].prompt)
                    a, b = (self.workspace.output(output) for output in (pair[::-1] if trial.is_swapped else pair))
                    position = len(self.schedule) - len(pending) + n + 1
                    yield Trial(self, trial.prompt, a, b, position, len(self.schedule), trial.event)
            finally:
                stop_event.set()

    def load_pairs(self) -> dict[str, Pair]:
        """Return the pairs generated so far, by prompt: the output of the first and of the second contender."""
        outputs_by_prompt: dict[str, list[tuple[str, str]]] = {}
        for _, record in self.workspace.store.list_records():
            if record.get("arena") == self.session_id:
                outputs_by_prompt.setdefault(record["prompt"], []).append((record["id"], record["model"]))
        pairs_by_prompt = {}
        for prompt, outputs in outputs_by_prompt.items():
            first_output = next((output for output, model in outputs if model == self.first.ref), None)
            second_output = next(
                (output for output, model in outputs if model == self.second.ref and output != first_output), None
            )
            if first_output and second_output:  # a killed session may have left a single output
                pairs_by_prompt[prompt] = (first_output, second_output)
        return pairs_by_prompt

    def summarize(self) -> dict[str, Any]:
        """Return the choices of this session: the ledger entries, the wins of each model and of each side."""
        from genloom.rate.ratings import Choice, parse_judgement

        pairs = set(self.load_pairs().values())
        own_judgements = [
            parse_judgement(event)
            for event in self.workspace.ledger.iter_events(["choice"])
            if event.body["rater"] == self.rater
        ]
        choices = [c for c in own_judgements if isinstance(c, Choice) and {(c.a, c.b), (c.b, c.a)} & pairs]
        wins = Counter(
            self.workspace.output(c.a if c.winner == "a" else c.b).model for c in choices if c.winner in ("a", "b")
        )
        counts = Counter(c.winner for c in choices)
        totals = {"first": counts["a"], "second": counts["b"], "ties": counts["tie"], "bad": counts["bad"]}
        return {"round": self.session_id, "choices": [c.event for c in choices], "wins": dict(wins), **totals}

    def _generate_pair(self, prompt: str, stop_event: Flag) -> Pair:
        """Generate and store two answers; nothing is stored once `stop_event` is set."""
        if self.first is self.second:
            outputs = self._generate_outputs(self.first, prompt, 2, stop_event)
        else:
            outputs = [
                *self._generate_outputs(self.first, prompt, 1, stop_event),
                *self._generate_outputs(self.second, prompt, 1, stop_event),
            ]
        return (outputs[0], outputs[1]) if len(outputs) == 2 else ("", "")

    def _generate_outputs(self, model: "LoadedModel", prompt: str, count: int, stop_event: Flag) -> list[str]:
        from genloom.codecs.chat_template import get_eos_ids
        from genloom.generate import engine
        from genloom.generate.text import conversation
        from genloom.types import Message

        request = engine.build_request(
            [prompt], count, None, (), self.params, engine.get_nonce_pool_size(model.codec.space), self.given
        )
        metadata: dict[str, Any] = {"arena": self.session_id}
        if self.is_chat:
            chat_request, _ = conversation.build_chat_request(model, [Message("user", prompt)], None, self.params)
            eos_ids = get_eos_ids(conversation.get_chat_codec(model))
            request = replace(
                request, params=chat_request.params, prompt_ids=chat_request.prompt_ids * count, eos_ids=eos_ids
            )
            metadata["conversation"] = [{"role": "user", "content": prompt}]
        *_, draft = engine.generate(model, request, stop_event.is_set)
        if stop_event.is_set():
            return []
        return engine.store_outputs(self.workspace.store, model, request, draft, metadata)

    def __repr__(self) -> str:
        contenders = self.first.ref if self.first is self.second else f"{self.first.ref} against {self.second.ref}"
        return f"<Arena of {contenders}: {len(self)} trials>"
