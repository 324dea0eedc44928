"""Blind choices between pairs of answers."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.arguments import Rows, to_list
from genloom.api.outputs import Output
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.model import Model as LoadedModel
    from genloom.rate.ratings import Winner
    from genloom.store.ledger import Event

Pair = tuple[str, str]
MAX_TRIES = 10  # to generate outputs in place of those that the medium withholds


@check_arguments
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

        from genloom.api.notebook import to_html
        from genloom.api.signing import sign_blind_display

        cells = [
            f'<td style="vertical-align: top; text-align: left"><b>{name}</b>{to_html(sign_blind_display(output))}</td>'
            for name, output in (("a", self.a), ("b", self.b))
        ]
        title = f"{self.position} of {self.count} · {escape(self.prompt)}"
        text = f"{self.position} of {self.count} · {self.prompt}\n── a\n{self.a}\n── b\n{self.b}"
        return {"text/plain": text, "text/html": f"<p>{title}</p><table><tr>{''.join(cells)}</tr></table>"}


@check_arguments
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
        is_chat: bool | None = None,
        repeats: float = 0.1,
        rater: str = "",
        n: int = 1,
        given: "Rows",
        is_marked: bool = True,
        params: Mapping[str, Any],
    ):
        from genloom.api.generation_requests import parse_given_texts, to_rows
        from genloom.api.policy import apply_policy
        from genloom.conditioners import format_given
        from genloom.generate import sampling_params
        from genloom.generate.text.conversation import DEFAULT_PARAMS, choose_chat
        from genloom.rate.session import compute_session_id, schedule_trials

        if params.get("temperature") == 0 and against is None:
            raise GenloomError("api.arena_temperature_zero")
        self.workspace, prompts = model.workspace, list(dict.fromkeys(prompts)) or [""]
        if not given and n == 1 and not any(prompt.strip() for prompt in prompts):
            raise GenloomError("api.arena_prompts_missing")
        if against is not None and against.ref == model.ref:
            raise GenloomError("api.arena_same_model", model=model.ref)
        self.first, self.second = (each.load((), "float32") for each in (model, against or model))
        media = [each.design.medium for each in (self.first, self.second)]
        if len(set(media)) > 1:
            refs = {"first": self.first.ref, "second": self.second.ref}
            raise GenloomError("evaluate.different_media", **refs, first_medium=media[0], second_medium=media[1])
        self.is_chat = choose_chat(self.workspace.store, (self.first, self.second), is_chat)
        rows = [parse_given_texts(self.first, values) for values in to_rows(given)]
        suggested = {**DEFAULT_PARAMS, **params} if self.is_chat else params
        self.params = sampling_params.add_suggested_params(self.first, suggested)
        self.rater, self.is_marked = rater or self.workspace.get_rater(), is_marked
        digests = [str(each.folder and each.folder.digest) for each in (self.first, self.second)]
        settings: dict[str, Any] = {**self.params, "chat": self.is_chat}
        given_texts = [format_given(self.first.conditioners, values) for values in rows]
        if given:
            settings["given"] = given_texts[0] if len(rows) == 1 else given_texts
        if n > 1:
            settings["n"] = n
        self.session_id = compute_session_id(digests, prompts, settings)
        self.tasks = {
            label_task(prompt, texts if len(rows) > 1 else {}, number): (prompt, values)
            for prompt in prompts
            for values, texts in zip(rows, given_texts, strict=True)
            for number in range(n)
        }
        apply_policy(self.workspace, [*prompts, *(v for texts in given_texts for v in texts.values())], self.first.ref)
        self.schedule = schedule_trials(self.session_id, list(self.tasks), self.rater, repeats)
        self.num_choices = 0  # made through this object

    def __len__(self) -> int:
        return len(self.schedule)

    def __iter__(self) -> Generator[Trial]:
        """Yield the trials that have no choice yet."""
        answered_ids = {event.id for event in self.workspace.ledger.iter_entries(["choice"])}
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
        """Return the pairs generated so far, by task: the output of the first and of the second contender."""
        outputs_by_task: dict[str, list[tuple[str, str]]] = {}
        for _, record in self.workspace.store.list_records():
            if record.get("arena") == self.session_id:
                task = record.get("arena_task") or record["prompt"]
                outputs_by_task.setdefault(task, []).append((record["id"], record["model"]))
        pairs_by_task = {}
        for task, outputs in outputs_by_task.items():
            first_output = next((output for output, model in outputs if model == self.first.ref), None)
            second_output = next(
                (output for output, model in outputs if model == self.second.ref and output != first_output), None
            )
            if first_output and second_output:  # a killed session may have left a single output
                pairs_by_task[task] = (first_output, second_output)
        return pairs_by_task

    def summarize(self) -> dict[str, Any]:
        """Return the choices of this session: the ledger entries, the wins of each model and of each side."""
        from genloom.rate.ratings import Choice, parse_judgement

        pairs = set(self.load_pairs().values())
        own_judgements = [
            parse_judgement(event)
            for event in self.workspace.ledger.iter_entries(["choice"])
            if event.body["rater"] == self.rater
        ]
        choices = [c for c in own_judgements if isinstance(c, Choice) and {(c.a, c.b), (c.b, c.a)} & pairs]
        wins = Counter(
            self.workspace.output(c.a if c.winner == "a" else c.b).model for c in choices if c.winner in ("a", "b")
        )
        counts = Counter(c.winner for c in choices)
        totals = {"first": counts["a"], "second": counts["b"], "ties": counts["tie"], "bad": counts["bad"]}
        return {"round": self.session_id, "choices": [c.event for c in choices], "wins": dict(wins), **totals}

    def _generate_pair(self, task: str, stop_event: Flag) -> Pair:
        """Generate and store two answers; nothing is stored once `stop_event` is set."""
        if self.first is self.second:
            outputs = self._generate_outputs(self.first, task, 2, stop_event)
        else:
            outputs = [
                *self._generate_outputs(self.first, task, 1, stop_event),
                *self._generate_outputs(self.second, task, 1, stop_event),
            ]
        return (outputs[0], outputs[1]) if len(outputs) == 2 else ("", "")

    def _generate_outputs(self, model: "LoadedModel", task: str, count: int, stop_event: Flag) -> list[str]:
        """Generate and store outputs, and others in place of those that the medium withholds."""
        output_ids: list[str] = []
        withheld: Counter[str] = Counter()
        for _ in range(MAX_TRIES):
            new_ids, reasons = self._generate_batch(model, task, count - len(output_ids), stop_event)
            output_ids += new_ids
            withheld.update(reasons)
            if len(output_ids) == count or stop_event.is_set():
                return output_ids
        text = ", ".join(f"{number:,} × {reason}" for reason, number in withheld.most_common(4))
        raise GenloomError("generate.nothing_selected", model=model.ref, count=withheld.total(), reasons=text)

    def _generate_batch(
        self, model: "LoadedModel", task: str, count: int, stop_event: Flag
    ) -> tuple[list[str], list[str]]:
        """Return the ids of new outputs, and why others were withheld."""
        from genloom import plugins
        from genloom.api.policy import apply_policy, list_output_texts, list_output_values
        from genloom.generate import engine, output_records
        from genloom.generate.marking import mark_request
        from genloom.generate.prompt_notes import describe_prompts
        from genloom.generate.selection import find_withheld_rows
        from genloom.generate.text.conversation import as_questions, describe_question

        prompt, given = self.tasks[task]
        is_sequence = engine.is_open_sequence(model.codec.space)
        request = engine.build_request([prompt], count, None, (), self.params, is_sequence, given)
        metadata: dict[str, Any] = {"arena": self.session_id} | ({} if task == prompt else {"arena_task": task})
        if self.is_chat:
            request, contexts = as_questions(model, request)
            metadata |= describe_question(prompt, contexts[0])
        else:
            metadata |= describe_prompts(model, request)[0]
        if self.is_marked:
            request = mark_request(self.workspace.store, model, request)
        *_, draft = engine.generate(model, request, stop_event.is_set)
        if stop_event.is_set():
            return [], []
        values = list_output_values(self.workspace, model, draft)
        apply_policy(self.workspace, list_output_texts(model, draft), model.ref, "output", values)
        withheld = find_withheld_rows(plugins.find_part("medium", model.design.medium), draft.values)
        output_ids = output_records.store_outputs(
            self.workspace.store, model, request, draft, metadata, withheld_rows=withheld
        )
        return output_ids, list(withheld.values())

    def __repr__(self) -> str:
        contenders = self.first.ref if self.first is self.second else f"{self.first.ref} against {self.second.ref}"
        return f"<Arena of {contenders}: {len(self)} trials>"


def label_task(prompt: str, given: Mapping[str, str], number: int) -> str:
    """Return the text that identifies a task in a session: the prompt, unless several tasks have it."""
    parts = [prompt, *(f"{name}={value}" for name, value in given.items())]
    return " · ".join(filter(None, [*parts, f"{number + 1}" if number else ""]))


def begin_arena(
    model: "Model",
    prompts: str | Sequence[str] = "",
    *,
    n: int = 1,
    given: Rows | None = None,
    against: "Model | str | None" = None,
    is_chat: bool | None = None,
    repeats: float = 0.1,
    rater: str = "",
    is_marked: bool = True,
    **params: Any,
) -> Arena:
    """Begin or continue a session of blind choices between two answers to each prompt.

    Parameters
    ----------
    prompts
        Prompts to answer. "": none, which needs `given` or a larger `n`.
    n
        Number of pairs for each prompt.
    given
        Values of the model's other conditions by name; a sequence of mappings gives pairs for each.
    against
        Other model or version that gives the second answer. None: the same model with other random seeds.
    is_chat
        Whether the prompts are questions, written in the chat template. None: yes if one of the models was tuned
        on conversations.
    repeats
        Share of pairs shown a second time in the other order, to measure the rater's consistency.
    rater
        Name of the rater. "": that of the workspace, else your user name.
    is_marked
        Whether the answers are marked by the workspace's key; see `generate`.
    params
        Parameters of the sampler, e.g. max_tokens, temperature.

    Returns
    -------
    Arena
        Iterate over its trials: `for trial in arena: trial.choose("a")`.

    Raises
    ------
    GenloomError
        api.arena_prompts_missing, api.arena_same_model, api.arena_temperature_zero.
    """
    rival = None if against is None else model.workspace.model(against)
    return Arena(
        model,
        to_list(prompts),
        against=rival,
        is_chat=is_chat,
        repeats=repeats,
        rater=rater,
        n=n,
        given=given or {},
        is_marked=is_marked,
        params={name: value for name, value in params.items() if value is not None},
    )
