"""`genloom arena`: blind choices between pairs of answers."""

import re
import sys
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from genloom.api.arena import Arena, Trial
from genloom.api.models import Model
from genloom.cli.answer_notes import print_answer_notes
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.model_input import ChatPrompts, GivenValues, PromptsFile, read_prompts
from genloom.cli.options.numbers import OutputCount, Share
from genloom.cli.options.sampling import (
    Guidance,
    MaxTokens,
    ParamSettings,
    SamplingTemperature,
    Steps,
    TopP,
    Unmarked,
    parse_settings,
)
from genloom.cli.options.workspace import CommonOptions, LedgerURL, Rater
from genloom.conditioners import split_assignments
from genloom.rate.ratings import Winner
from genloom.text_format import format_count

_WINNERS: dict[str, Winner] = {"a": "a", "b": "b", "t": "tie", "x": "bad"}
_HELP = "a or b: the better one · t: tie · x: both bad · s: skip · q: quit"
_COLOUR = re.compile("\x1b\\[[0-9;]*m")  # which takes no width


@describe_like(Model.arena)
def run(
    model: str,
    /,
    *,
    against: str | None = None,
    prompt: list[str] | None = None,
    prompts: PromptsFile | None = None,
    given: GivenValues | None = None,
    count: OutputCount = 1,
    chat: ChatPrompts | None = None,
    max_tokens: MaxTokens | None = None,
    temperature: SamplingTemperature | None = None,
    top_p: TopP | None = None,
    steps: Steps | None = None,
    guidance_scale: Guidance | None = None,
    option: ParamSettings | None = None,
    repeats: Share = 0.1,
    unmarked: Unmarked = False,
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
    prompt
        Prompt to answer. Repeatable.
    count
        Number of pairs for each prompt; for a model without prompts, of all.
    """
    workspace, console = common.open(ledger, rater)
    flags: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "steps": steps,
        "guidance_scale": guidance_scale,
    }
    given_flags = {name: value for name, value in flags.items() if value is not None}
    prompt_texts = [line for line in prompt or () if line.strip()] + list(read_prompts(prompts) if prompts else ())
    first = workspace.model(model)
    arena = first.arena(
        prompt_texts or [""],
        n=count,
        given=split_assignments(given or ()),
        against=against,
        is_chat=chat,
        repeats=repeats,
        is_marked=not unmarked,
        **(parse_settings(first, (), "auto", option or ()) | given_flags),
    )
    screen = _Screen(console.is_json)
    screen.print(_HELP)
    with closing(arena.__iter__()) as trials:
        for trial in trials:
            screen.print(f"\n── {trial.position} of {trial.count} · {trial.prompt}")
            screen.print_pair(trial)
            for output in (trial.a, trial.b):
                print_answer_notes(output, console)
            answer = screen.read_answer()
            if answer == "q":
                break
            if answer in _WINNERS:
                screen.print(f"Recorded as {trial.choose(_WINNERS[answer]).id}")
    _print_summary(arena, console)


def _print_summary(arena: Arena, console: Console) -> None:
    """Print this rater's choices in this session, and only now which model gave which answer."""
    summary = arena.summarize()
    console.print_line()
    console.print_line(f"{format_count(arena.num_choices, 'choice')} now, {len(summary['choices'])} in this session.")
    if arena.first is not arena.second:
        for model in (arena.first, arena.second):
            console.print_line(f"{model.ref} won {summary['wins'].get(model.ref, 0)}")
    by_position = f"The answer shown first won {summary['first']}, the second {summary['second']}"
    console.print_line(f"{by_position}; {summary['ties']} ties, {summary['bad']} both bad.")
    console.print_result(summary)


@dataclass(frozen=True)
class _Screen:
    """The dialogue with the rater; with --json on standard error."""

    is_json: bool

    def print(self, text: str) -> None:
        """Print text; generated text cannot move the cursor."""
        self._write("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))

    def print_pair(self, trial: Trial) -> None:
        """Print both texts, one below the other; of other media the paths, on a terminal with previews side by side."""
        shown = [output.show() for output in (trial.a, trial.b)]
        if all(each.mime == "text/plain" for each in shown):
            self.print(f"── A\n{trial.a.continuation}\n── B\n{trial.b.continuation}")
            return
        if sys.stdout.isatty():
            self._write(join_side_by_side(*(each.text for each in shown)))
        self.print(f"── A  {trial.a.path}\n── B  {trial.b.path}")

    def read_answer(self) -> str:
        """Return a valid answer; the end of the input quits."""
        while True:
            if sys.stdin.isatty():
                self.print("a, b, t, x, s, q: ")
            line = sys.stdin.readline()
            answer = line.strip().lower() if line else "q"
            if answer in (*_WINNERS, "s", "q"):
                return answer
            self.print(_HELP)

    def _write(self, text: str) -> None:
        print(text, file=sys.stderr if self.is_json else sys.stdout, flush=True)


def join_side_by_side(left: str, right: str) -> str:
    """Join two previews line by line, of which one may have fewer lines or shorter ones."""
    left_lines, right_lines = left.split("\n"), right.split("\n")
    widths = [len(_COLOUR.sub("", line)) for line in left_lines]
    rows = zip_longest(left_lines, widths, right_lines, fillvalue=None)
    return "\n".join(f"{a or ''}{' ' * (max(widths) - (width or 0))}   {b or ''}" for a, width, b in rows)
