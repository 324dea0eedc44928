"""`genloom arena`: blind choices between pairs of answers."""

import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from genloom.cli.commands.rate import current_user
from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions, LedgerURL, PromptsFile, Rater, read_prompts
from genloom.cli.options.sampling import DEFAULT_TEMPERATURE, Guidance, MaxTokens, SamplingTemperature, Steps, TopP
from genloom.cli.options.types import Share
from genloom.codecs.chat_template import get_eos_ids
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.generate.text import conversation
from genloom.model import Model, load_model
from genloom.rate.outputs import find_medium, load_output
from genloom.rate.ratings import Choice, Winner, parse_judgement, record_choice
from genloom.rate.session import Trial, compute_session_id, schedule_trials
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.types import Item, Message

_WINNER_KEYS: dict[str, Winner] = {"a": "a", "b": "b", "t": "tie", "x": "bad"}
_HELP = "a or b: the better one · t: tie · x: both bad · s: skip · q: quit"


def run(
    model: str,
    /,
    *,
    against: str | None = None,
    prompt: list[str] | None = None,
    prompts: PromptsFile | None = None,
    chat: bool = False,
    max_tokens: MaxTokens | None = None,
    temperature: SamplingTemperature | None = None,
    top_p: TopP | None = None,
    steps: Steps | None = None,
    guidance_scale: Guidance | None = None,
    repeats: Share = 0.1,
    rater: Rater | None = None,
    ledger: LedgerURL = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Choose between two answers to each prompt, blind; the model can learn from it.

    Answers are generated and stored as you go. If you leave, run the same command again to continue.

    Parameters
    ----------
    model
        Model name, e.g. notes (the active version) or notes/2.
    against
        Other model or version that gives the second answer. [default: the same model with other random seeds]
    prompt
        Prompt to answer. Repeatable.
    chat
        Whether the prompts are questions to a chat model.
    repeats
        Share of pairs shown a second time in the other order, to measure the rater's consistency.
    """
    workspace, console = common.open()
    if temperature == 0 and against is None:
        raise GenloomError("cli.arena_temperature_zero")
    prompt_texts = _collect_prompts(prompt, prompts)
    first = load_model(workspace, model)
    second = first if against is None else load_model(workspace, against)
    if against is not None and second.ref == first.ref:
        raise GenloomError("cli.arena_same_model", first=model, second=against)
    if temperature is None and "temperature" in engine.list_request_params(first):
        temperature = DEFAULT_TEMPERATURE
    options = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "steps": steps,
        "guidance_scale": guidance_scale,
    }
    params = {name: value for name, value in options.items() if value is not None}
    contenders = Contenders(workspace, first, second, chat, params, prompt_texts)
    arena = Arena(console, contenders, open_ledger(workspace.root, ledger), rater or current_user())
    arena.run_trials(schedule_trials(contenders.session_id, prompt_texts, arena.rater, repeats))
    arena.print_summary()


@dataclass(frozen=True)
class Contenders:
    """Two models, or one model with two random seeds, and their answers in this session."""

    workspace: Workspace
    first: Model
    second: Model
    is_chat: bool
    params: dict[str, Any]
    prompts: list[str]

    @property
    def session_id(self) -> str:
        digests = [str(model.folder and model.folder.digest) for model in (self.first, self.second)]
        return compute_session_id(digests, self.prompts, {**self.params, "chat": self.is_chat})

    def load_pairs(self) -> dict[str, tuple[str, str]]:
        """Return the pairs generated so far, by prompt: the output of the first and of the second contender."""
        outputs_by_prompt: dict[str, list[tuple[str, str]]] = {}
        for path, record in self.workspace.list_records():
            if record.get("arena") == self.session_id:
                outputs_by_prompt.setdefault(record["prompt"], []).append((path.stem, record["model"]))
        pairs_by_prompt = {}
        for prompt, outputs in outputs_by_prompt.items():
            first_output = next((output for output, model in outputs if model == self.first.ref), None)
            second_output = next(
                (output for output, model in outputs if model == self.second.ref and output != first_output), None
            )
            if first_output and second_output:  # a killed command may have left a single output
                pairs_by_prompt[prompt] = (first_output, second_output)
        return pairs_by_prompt

    def generate_pair(self, prompt: str, stop_event: Flag) -> tuple[str, str] | None:
        """Generate and store two answers; return None if `stop_event` was set meanwhile."""
        if self.first is self.second:
            outputs = self._generate_outputs(self.first, prompt, 2, stop_event)
        else:
            outputs = [
                *self._generate_outputs(self.first, prompt, 1, stop_event),
                *self._generate_outputs(self.second, prompt, 1, stop_event),
            ]
        return None if stop_event.is_set() else (outputs[0], outputs[1])

    def _generate_outputs(self, model: Model, prompt: str, count: int, stop_event: Flag) -> list[str]:
        request = engine.build_request(
            [prompt], count, None, (), self.params, engine.get_nonce_pool_size(model.codec.space)
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
        return [] if stop_event.is_set() else engine.store_outputs(self.workspace, model, request, draft, metadata)


@dataclass
class Arena:
    """Shows pairs and records the choices."""

    console: Console
    contenders: Contenders
    ledger: Ledger
    rater: str
    stop_event: Flag = field(default_factory=Flag)
    num_choices: int = 0

    def run_trials(self, trials: list[Trial]) -> None:
        """Show the trials without a choice; the next pair is generated while the rater reads."""
        answered_ids = {event.id for event in self.ledger.iter_events(["choice"])}
        pending_trials = [trial for trial in trials if trial.event not in answered_ids]
        pairs: dict[str, Any] = dict(self.contenders.load_pairs())
        self._print(_HELP)
        with ThreadPoolExecutor(max_workers=1) as executor:

            def get_or_submit_pair(prompt: str) -> Future[tuple[str, str] | None] | tuple[str, str]:
                if prompt not in pairs:
                    pairs[prompt] = executor.submit(self.contenders.generate_pair, prompt, self.stop_event)
                return pairs[prompt]

            try:
                for n, trial in enumerate(pending_trials):
                    pair = get_or_submit_pair(trial.prompt)
                    if isinstance(pair, Future):
                        pair = pairs[trial.prompt] = pair.result()
                    assert pair is not None, "only a stopped generation returns None"
                    if n + 1 < len(pending_trials):
                        get_or_submit_pair(pending_trials[n + 1].prompt)
                    if not self._run_trial(
                        trial, pair, f"{len(trials) - len(pending_trials) + n + 1} of {len(trials)}"
                    ):
                        return
            finally:
                self.stop_event.set()

    def _run_trial(self, trial: Trial, pair: tuple[str, str], position: str) -> bool:
        """Ask for one choice; return False if the rater quits."""
        a, b = pair[::-1] if trial.is_swapped else pair
        self._print(f"\n── {position} · {trial.prompt}")
        self._print_pair(*(self.contenders.workspace.get_output(output) for output in (a, b)))
        while True:
            answer = self._read_answer("a, b, t, x, s, q: ")
            if answer == "q":
                return False
            if answer == "s":
                return True
            if answer in _WINNER_KEYS:
                break
            self._print(_HELP)
        event = record_choice(
            self.contenders.workspace, self.ledger, a, b, _WINNER_KEYS[answer], self.rater, id=trial.event
        )
        self.num_choices += 1
        self._print(f"Recorded as {event.id}")
        return True

    def print_summary(self) -> None:
        """Print this rater's choices in this session, and only now which model gave which answer."""
        pairs = set(self.contenders.load_pairs().values())
        own_judgements = [
            parse_judgement(event) for event in self.ledger.iter_events(["choice"]) if event.body["rater"] == self.rater
        ]
        choices = [c for c in own_judgements if isinstance(c, Choice) and {(c.a, c.b), (c.b, c.a)} & pairs]
        wins = Counter(_get_winning_model(self.contenders.workspace, c) for c in choices if c.winner in ("a", "b"))
        counts = Counter(c.winner for c in choices)
        self.console.print_line()
        self.console.print_line(f"{format_count(self.num_choices, 'choice')} now, {len(choices)} in this session.")
        if self.contenders.first is not self.contenders.second:
            for model in (self.contenders.first, self.contenders.second):
                self.console.print_line(f"{model.ref} won {wins[model.ref]}")
        by_position = f"The answer shown first won {counts['a']}, the second {counts['b']}"
        self.console.print_line(f"{by_position}; {counts['tie']} ties, {counts['bad']} both bad.")
        totals = {"first": counts["a"], "second": counts["b"], "ties": counts["tie"], "bad": counts["bad"]}
        event_ids = [c.event for c in choices]
        self.console.print_result(
            {"round": self.contenders.session_id, "choices": event_ids, "wins": dict(wins), **totals}
        )

    def _print_pair(self, a: tuple[Path, dict[str, Any]], b: tuple[Path, dict[str, Any]]) -> None:
        """Print both texts, one below the other; for other media the paths, and on a terminal previews side by side."""
        values = [load_output(*output) for output in (a, b)]
        if all(isinstance(value, str) for value in values):
            self._print(f"── A\n{values[0]}\n── B\n{values[1]}")
            return
        if sys.stdout.isatty():
            previews = [find_medium(*output).preview(Item(value)) for output, value in zip((a, b), values, strict=True)]
            print(join_side_by_side(*previews), file=sys.stderr if self.console.is_json else sys.stdout, flush=True)
        self._print(f"── A  {a[0]}\n── B  {b[0]}")

    def _print(self, text: str) -> None:
        """Print to the person, on standard error with --json; generated text cannot move the cursor."""
        safe_text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
        print(safe_text, file=sys.stderr if self.console.is_json else sys.stdout, flush=True)

    def _read_answer(self, prompt: str) -> str:
        """Return the typed line in lower case; the end of the input quits."""
        if sys.stdin.isatty():
            self._print(prompt)
        line = sys.stdin.readline()
        return line.strip().lower() if line else "q"


def join_side_by_side(left: str, right: str) -> str:
    """Join two previews of equal size line by line."""
    return "\n".join(
        f"{left_line}   {right_line}"
        for left_line, right_line in zip(left.split("\n"), right.split("\n"), strict=False)
    )


def _get_winning_model(workspace: Workspace, choice: Choice) -> str:
    return str(workspace.get_output(choice.a if choice.winner == "a" else choice.b)[1]["model"])


def _collect_prompts(inline_prompts: list[str] | None, file: Path | None) -> list[str]:
    """Return every prompt once."""
    prompts = list(
        dict.fromkeys([*(line for line in inline_prompts or () if line.strip()), *(read_prompts(file) if file else ())])
    )
    if not prompts:
        raise GenloomError("cli.arena_prompts_missing")
    return prompts
