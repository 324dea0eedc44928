"""`genloom train`: a data set becomes a model."""

import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import isfinite, log
from pathlib import Path
from typing import Any

from genloom.cli.numbers import Count, Positive, Seed, Threads
from genloom.cli.screen import Bar, Screen, duration, quoted, size, table
from genloom.cli.shared import Shared
from genloom.likelihood import BITS, LOSS, Measured
from genloom.rate.wording import counted
from genloom.settings import recipe as read_recipe
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train.dial import Wishes
from genloom.train.events import TOKENS, Checked, Contract, Event, Finished, Stage, Stepped, Warned
from genloom.train.run import Request, train_model

GENERAL = {BITS: "  of general text", LOSS: "  of what the base learned"}  # what tuning may make a model forget


def run(
    data: str,
    /,
    *,
    minutes: Positive | None = None,
    params: Count | None = None,
    tokens: Count | None = None,
    steps: Count | None = None,
    name: str | None = None,
    from_: str | None = None,
    method: str | None = None,
    resume: bool = False,
    recipe: Path | None = None,
    set: list[str] | None = None,
    seed: Seed = 0,
    threads: Threads | None = None,
    save_steps: Count | None = None,
    shared: Shared = Shared(),
) -> int:
    """Train a model on a data set, or tune one that there is, within a time you choose.

    Measures this machine, chooses sizes, prints what the run will take and what quality to expect, then trains. Stop it
    with Ctrl-C, or lose the machine: --resume goes on to the same result.

    Parameters
    ----------
    data
        A data set; with --resume, the name or id of a run.
    minutes
        How long to train. Default: 5, where neither tokens nor steps are given.
    params
        About how many parameters the model shall have. Default: what the time and the text allow.
    tokens
        How many tokens to read in all; of what has one size, like pictures, how many samples.
    steps
        How many steps to take, exactly; with --resume, the step to train up to.
    name
        What to call the model. Default: like the data set.
    from_
        A model to tune: it goes on learning, from text, or from conversations how to answer.
    method
        How to tune it: lora learns a small adapter on it, full all its weights. Default: lora.
    resume
        Go on with a run that was stopped or killed, or train a finished one further with --steps.
    recipe
        A TOML file with values of the job, like recipes/text.toml; --set goes before it.
    set
        A value of the job, like network.base.width=384. Repeat for several.
    seed
        Another number starts from other weights and reads in another order.
    threads
        Processor threads. Default: all cores.
    save_steps
        Also save after so many steps. Default: every half minute.
    """
    workspace, screen = shared.open()
    overrides = {**(read_recipe(recipe) if recipe else {}), **dict(setting(text) for text in set or ())}
    wishes = Wishes(minutes=minutes or 0.0, params=params or 0, tokens=tokens or 0, seed=seed)
    request = Request(
        data,
        name or "",
        from_ or "",
        method or "lora",
        wishes,
        overrides,
        resume,
        steps or 0,
        threads or 0,
        save_steps=save_steps or 0,
    )
    if method and not (from_ or resume):
        raise ValueError("--method says how to tune a model: name the model too, with --from MODEL.")
    if resume and (minutes or tokens or params or overrides or from_ or method):
        raise ValueError("A run goes on as it was planned. With --resume, only --steps says how far.")
    if resume and name:
        raise ValueError(f"A run keeps its name: say genloom train --resume {quoted(data)}, without --name.")
    finished, stopped = _watch(train_model(workspace, request), screen)
    if finished is None:
        again = quoted(name or data)
        screen.say(
            f"Stopped at step {stopped:,}; everything so far is saved. Go on with: genloom train --resume {again}"
        )
        screen.result({"stopped": stopped, "run": workspace.run(name or data).id})
        return 130
    made = workspace.model(finished.ref)
    _say_result(finished, made.folder, screen)
    verb = (
        f"chat {quoted(made.name)}"
        if _talks(workspace, made)
        else f'generate {quoted(made.name)} --prompt "…" --count 3'
    )
    if (used := workspace.model(made.name)).ref != made.ref:
        promoting = f"genloom promote {quoted(made.name)} --to {made.version}"
        screen.say(f"In use is still {used.ref}. To use the new one: {promoting}")
    screen.say(f"Next: genloom {verb}")
    screen.result({**finished.facts(), "folder": str(made.folder)})
    return 0


def _talks(workspace: Workspace, made: ModelFolder) -> bool:
    """Whether the model was tuned on conversations, as far as the first documents tell."""
    learned = made.card["data"]
    documents = workspace.dataset(learned["name"], learned["digest"]).documents("train")
    return "parents" in made.card and any("turns" in item.meta for item in islice(documents, 64))


def _watch(events: Generator[Event], screen: Screen) -> tuple[Finished | None, int]:
    """Show a run as it goes; Ctrl-C ends it between two steps, where it can save."""
    step, seen, losses = 0, "", {}
    with closing(events), _interruption() as stop, screen.progress("Training", 1.0) as bar:
        for event in events:
            match event:
                case Stage(text):
                    screen.note(text)
                case Contract():
                    _say_contract(event, screen)
                case Warned(text):
                    screen.note(f"Note: {text}")
                case Checked():
                    seen = f", {told(event.found)}"
                case Stepped():
                    step, stop.patient = event.step, True
                    losses = smoothed(losses, event.losses)
                    _draw(event, losses, seen, bar)
                case Finished():
                    return event, event.fact["steps"]
            if stop.asked:
                return None, step
    raise AssertionError("a run ends with its result")


def smoothed(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Losses of the last twenty steps or so: one batch is harder than another."""
    return {name: value + 0.95 * (before.get(name, value) - value) for name, value in now.items() if isfinite(value)}


def told(found: Measured) -> str:
    """A look at held-out data in a few words."""
    return f"held-out {found.value:.3f} bits/byte" if found.name == BITS else f"{found.name} {found.value:.4f}"


def _draw(event: Stepped, losses: Mapping[str, float], seen: str, bar: Bar) -> None:
    alone = len(losses) == 1
    amounts = {
        name: f"{value / log(2):.3f} bits" if event.unit == TOKENS else f"{value:.4f}" for name, value in losses.items()
    }
    loss = ", ".join(f"{'loss' if alone else name} {amount}" for name, amount in amounts.items())
    note = f"step {event.step:,}/{event.steps:,}, {loss}{seen}, {event.speed:,.0f} {event.unit.word}/s"
    left = "" if sys.stderr.isatty() else f", {duration(event.seconds_left)} left"  # a drawn bar tells it
    bar.update(event.step / event.steps, note + left)


def _say_contract(contract: Contract, screen: Screen) -> None:
    learning = f", of which {contract.trained:,} learn" if contract.trained else ""
    word = contract.unit.word
    rows: list[tuple[str, ...]] = [
        ("  network", f"{contract.parameters:,} parameters{learning}"),
        ("  reads", f"{contract.amount:,} {word} in {counted(contract.steps, 'step')}, {contract.speed:,.0f} a second"),
        (
            "  takes",
            f"about {duration(contract.seconds)} and {size(contract.memory_bytes)} of memory{_after(contract)}",
        ),
        ("  expected", _expected(contract)),
    ]
    screen.note("The contract:")
    for line in table(rows):
        screen.note(line)


def _after(contract: Contract) -> str:
    return f", after {duration(contract.spent)} of preparing" if contract.spent >= 1 else ""


def _expected(contract: Contract) -> str:
    if contract.expected is not None and contract.floor is not None:
        spread = contract.expected * contract.error
        counted = f"counting alone gives {contract.floor:.2f}"
        return f"{contract.expected:.2f} ± {spread:.2f} {contract.measure} ({counted})"
    if contract.before is not None:
        return f"less than the {contract.before:.3f} {contract.measure} of now"
    return f"unknown: nothing foretells the {contract.measure} of such a model"


def _say_result(finished: Finished, folder: Path, screen: Screen) -> None:
    forecast, fact = finished.forecast, finished.fact
    screen.say(f"Model {finished.ref} is stored in {folder}")
    rows: list[tuple[str, ...]] = [("", "forecast", "fact")]
    if (found := finished.found) is not None:
        rows.append(
            (f"  {found.name}", f"{forecast[found.key]:.3f}" if found.key in forecast else "-", f"{found.value:.3f}")
        )
        if "before" in forecast:
            rows = _before_and_after(found, forecast, fact)
    for title, key, shown in (
        ("training time", "seconds", duration),
        ("memory", "memory_bytes", size),
        *((f"{word} a second", f"{word}_per_second", "{:,.0f}".format) for word in ("tokens", "samples")),
    ):
        if key in fact:
            rows.append((f"  {title}", shown(forecast[key]) if key in forecast else "-", shown(fact[key])))
    for line in table(rows):
        screen.say(line)


def _before_and_after(found: Measured, forecast: Mapping[str, Any], fact: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What tuning has taught, and what it may have cost."""
    rows: list[tuple[str, ...]] = [
        ("", "before", "after"),
        (f"  {found.name}", f"{forecast['before']:.3f}", f"{found.value:.3f}"),
    ]
    if (general := fact.get(f"general_{found.key}")) is not None:
        rows.append(
            (
                GENERAL[found.name],
                f"{forecast['general_before']:.3f}" if "general_before" in forecast else "-",
                f"{general:.3f}",
            )
        )
    return [*rows, ("", "forecast", "fact")]


@dataclass
class _Stop:
    """Whether Ctrl-C was pressed; before the first step there is nothing to save, and it interrupts at once."""

    asked: bool = False
    patient: bool = False


@contextmanager
def _interruption() -> Generator[_Stop]:
    """Ctrl-C, or the machine that shuts down, asks for a stop; asked again, it interrupts at once."""
    stop = _Stop()

    def ask(number: int, frame: Any) -> None:
        if stop.asked or not stop.patient:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ValueError(f"--set {text!r} is not a setting. Write it like --set network.base.width=384")
    return path.strip(), value.strip()
