"""`genloom arena`: blind choices between two answers, one pair after the other."""

import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from genloom.cli.numbers import Count, Guidance, Share, Temperature
from genloom.cli.rate import own_name
from genloom.cli.screen import Screen
from genloom.cli.shared import Shared, lines_of
from genloom.codecs.roles import stop_ids
from genloom.generate import conversation, engine
from genloom.model import Model, open_model
from genloom.rate.bout import Showing, bout_of, showings
from genloom.rate.ratings import Choice, Winner, choose, judgement
from genloom.rate.values import medium_of, value_of
from genloom.rate.wording import counted
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.types import Item, Message

_KEYS: dict[str, Winner] = {"a": "a", "b": "b", "t": "tie", "x": "bad"}
DARING = 0.8  # temperature, where nobody says one
_HELP = "a or b: which is better · t: a tie · x: both are bad · s: skip · q: enough for now"


def run(
    model: str,
    /,
    *,
    against: str | None = None,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    chat: bool = False,
    length: Count | None = None,
    temperature: Temperature | None = None,
    top_p: Share | None = None,
    steps: Count | None = None,
    guidance: Guidance | None = None,
    repeats: Share = 0.1,
    rater: str | None = None,
    ledger: str = "",
    shared: Shared = Shared(),
) -> None:
    """Choose between two answers to each prompt, without knowing whose they are; the model can learn from it.

    The answers are made and stored as you go. Leave whenever you like: the same command goes on where you were.

    Parameters
    ----------
    model
        A model, like notes (the version in use) or notes/2.
    against
        Another model, or version, that writes the other answer. [default: the model itself, with other chances]
    prompt
        What to answer. Repeat for several.
    prompts
        A file with one prompt a line.
    chat
        The prompts are questions to a model that chats.
    length
        How many symbols an answer has at most.
    temperature
        How daring: 0 always takes the likeliest symbol, 1 draws as the model believes. [default: 0.8]
    top_p
        Only draw from the likeliest symbols that make up this share of the belief.
    steps
        How many steps a picture takes.
    guidance
        How strongly a picture follows its prompt.
    repeats
        The share of pairs that are shown once more, the other way round: they tell how steady you are.
    rater
        Who chooses. [default: your name on this machine]
    ledger
        Where choices are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, screen = shared.open()
    if temperature == 0 and against is None:
        raise ValueError("At temperature 0 a model always gives the same answer. Choose a higher one, or --against.")
    asked = _prompts(prompt, prompts)
    first = open_model(workspace, model)
    second = first if against is None else open_model(workspace, against)
    if against is not None and second.ref == first.ref:
        raise ValueError(f"{model} and {against} are the same model. Leave --against away, or name another version.")
    if temperature is None and "temperature" in engine.settings(first):
        temperature = DARING
    given = {"length": length, "temperature": temperature, "top_p": top_p, "steps": steps, "guidance": guidance}
    controls = {name: value for name, value in given.items() if value is not None}
    contenders = Contenders(workspace, first, second, chat, controls, asked)
    arena = Arena(screen, contenders, open_ledger(workspace.root, ledger), rater or own_name())
    arena.go(showings(contenders.bout, asked, arena.rater, repeats))
    arena.tell()


@dataclass(frozen=True)
class Contenders:
    """Two models, or one with different chances, and the answers they gave in this round."""

    workspace: Workspace
    first: Model
    second: Model
    chat: bool
    controls: dict[str, Any]
    prompts: list[str]

    @property
    def bout(self) -> str:
        digests = [str(model.folder and model.folder.digest) for model in (self.first, self.second)]
        return bout_of(digests, self.prompts, {**self.controls, "chat": self.chat})

    def pairs(self) -> dict[str, tuple[str, str]]:
        """The pairs made so far, by prompt: the output of the first and of the second contender."""
        made: dict[str, list[tuple[str, str]]] = {}
        for path, record in self.workspace.records():
            if record.get("arena") == self.bout:
                made.setdefault(record["prompt"], []).append((path.stem, record["model"]))
        found = {}
        for prompt, outputs in made.items():
            ours = next((output for output, model in outputs if model == self.first.ref), None)
            theirs = next((output for output, model in outputs if model == self.second.ref and output != ours), None)
            if ours and theirs:  # a command that was killed may have left one alone
                found[prompt] = (ours, theirs)
        return found

    def make(self, prompt: str, stop: Flag) -> tuple[str, str] | None:
        """Write and store two answers; None where `stop` was raised meanwhile."""
        if self.first is self.second:
            made = self._written(self.first, prompt, 2, stop)
        else:
            made = [*self._written(self.first, prompt, 1, stop), *self._written(self.second, prompt, 1, stop)]
        return None if stop.is_set() else (made[0], made[1])

    def _written(self, model: Model, prompt: str, count: int, stop: Flag) -> list[str]:
        asked = engine.request([prompt], count, None, (), self.controls, engine.pool_of(model.codec.space))
        facts: dict[str, Any] = {"arena": self.bout}
        if self.chat:
            question, _ = conversation.question(model, [Message("user", prompt)], None, self.controls)
            ends = stop_ids(conversation.speaking(model))
            asked = replace(asked, controls=question.controls, ids=question.ids * count, ends=ends)
            facts["conversation"] = [{"role": "user", "content": prompt}]
        *_, draft = engine.generate(model, asked, stop.is_set)
        return [] if stop.is_set() else engine.store(self.workspace, model, asked, draft, facts)


@dataclass
class Arena:
    """Shows pairs, takes answers."""

    screen: Screen
    contenders: Contenders
    ledger: Ledger
    rater: str
    stop: Flag = field(default_factory=Flag)
    shown: int = 0

    def go(self, order: list[Showing]) -> None:
        """Show what was not answered yet; while the rater reads, the next pair is made."""
        answered = {event.id for event in self.ledger.events(["choice"])}
        ahead = [showing for showing in order if showing.event not in answered]
        pairs: dict[str, Any] = dict(self.contenders.pairs())
        self._print(_HELP)
        with ThreadPoolExecutor(max_workers=1) as writer:

            def ready(prompt: str) -> Future[tuple[str, str] | None] | tuple[str, str]:
                if prompt not in pairs:
                    pairs[prompt] = writer.submit(self.contenders.make, prompt, self.stop)
                return pairs[prompt]

            try:
                for n, showing in enumerate(ahead):
                    pair = ready(showing.prompt)
                    if isinstance(pair, Future):
                        pair = pairs[showing.prompt] = pair.result()
                    assert pair is not None, "only a stopped writer has none"
                    if n + 1 < len(ahead):
                        ready(ahead[n + 1].prompt)
                    if not self._show(showing, pair, f"{len(order) - len(ahead) + n + 1} of {len(order)}"):
                        return
            finally:
                self.stop.set()

    def _show(self, showing: Showing, pair: tuple[str, str], place: str) -> bool:
        """Ask for one choice; False where the rater has enough."""
        a, b = pair[::-1] if showing.swapped else pair
        self._print(f"\n── {place} · {showing.prompt}")
        self._both(*(self.contenders.workspace.output(output) for output in (a, b)))
        while True:
            answer = self._ask("a, b, t, x, s, q: ")
            if answer == "q":
                return False
            if answer == "s":
                return True
            if answer in _KEYS:
                break
            self._print(_HELP)
        event = choose(self.contenders.workspace, self.ledger, a, b, _KEYS[answer], self.rater, id=showing.event)
        self.shown += 1
        self._print(f"Kept as {event.id}")
        return True

    def tell(self) -> None:
        """What this rater chose in this round, all times together; only now whose answers they were."""
        pairs = set(self.contenders.pairs().values())
        mine = [judgement(event) for event in self.ledger.events(["choice"]) if event.body["rater"] == self.rater]
        chosen = [c for c in mine if isinstance(c, Choice) and {(c.a, c.b), (c.b, c.a)} & pairs]
        wins = Counter(_writer(self.contenders.workspace, c) for c in chosen if c.winner in ("a", "b"))
        counts = Counter(c.winner for c in chosen)
        self.screen.say()
        self.screen.say(f"{counted(self.shown, 'choice')} now, {len(chosen)} in this round.")
        if self.contenders.first is not self.contenders.second:
            for model in (self.contenders.first, self.contenders.second):
                self.screen.say(f"{model.ref} won {wins[model.ref]}")
        self.screen.say(f"The answer shown first won {counts['a']}, the second {counts['b']}; {counts['tie']} ties, "
                        f"{counts['bad']} both bad.")  # fmt: skip
        facts = {"first": counts["a"], "second": counts["b"], "ties": counts["tie"], "bad": counts["bad"]}
        events = [c.event for c in chosen]
        self.screen.result({"round": self.contenders.bout, "choices": events, "wins": dict(wins), **facts})

    def _both(self, a: tuple[Path, dict[str, Any]], b: tuple[Path, dict[str, Any]]) -> None:
        """The texts of both one below the other; pictures side by side where someone watches, and where they lie."""
        values = [value_of(*each) for each in (a, b)]
        if all(isinstance(value, str) for value in values):
            self._print(f"── A\n{values[0]}\n── B\n{values[1]}")
            return
        if sys.stdout.isatty():
            shown = [medium_of(path).preview(Item(value)) for (path, _), value in zip((a, b), values, strict=True)]
            print(side_by_side(*shown), file=sys.stderr if self.screen.json else sys.stdout, flush=True)
        self._print(f"── A  {a[0]}\n── B  {b[0]}")

    def _print(self, text: str) -> None:
        """To the person; with --json, standard output is the result's. What a model wrote moves no cursor."""
        shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
        print(shown, file=sys.stderr if self.screen.json else sys.stdout, flush=True)

    def _ask(self, question: str) -> str:
        """What was typed, in small letters; the end of the input is enough for now."""
        if sys.stdin.isatty():
            self._print(question)
        line = sys.stdin.readline()
        return line.strip().lower() if line else "q"


def side_by_side(left: str, right: str) -> str:
    """Two previews of equal size, line by line."""
    return "\n".join(f"{one}   {two}" for one, two in zip(left.split("\n"), right.split("\n"), strict=False))


def _writer(workspace: Workspace, choice: Choice) -> str:
    return str(workspace.output(choice.a if choice.winner == "a" else choice.b)[1]["model"])


def _prompts(given: list[str] | None, file: Path | None) -> list[str]:
    """Every prompt once."""
    asked = list(dict.fromkeys([*(line for line in given or () if line.strip()), *(lines_of(file) if file else ())]))
    if not asked:
        raise ValueError('Which prompts shall be answered? Give --prompts FILE, one a line, or --prompt "…".')
    return asked
