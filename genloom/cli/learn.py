"""`genloom learn`: ratings become a challenger, which replaces the version in use only if it is proved better."""

from contextlib import closing
from pathlib import Path

from genloom.cli.numbers import Count, Positive, Seed
from genloom.cli.out import file_at
from genloom.cli.screen import Screen, duration
from genloom.cli.shared import Shared, lines_of
from genloom.cli.train import setting, smoothed
from genloom.learn.practice import REWARD_MODEL
from genloom.learn.round import ANSWERS, Learned, Wanted, learn
from genloom.rate.page import page
from genloom.rate.receipt import Receipt, as_text
from genloom.rate.wording import counted
from genloom.store.files import write_atomic
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from genloom.train.dial import Wishes
from genloom.train.events import Contract, Stage, Stepped, Warned


def run(
    model: str,
    /,
    *,
    minutes: Positive | None = None,
    steps: Count | None = None,
    method: str = "auto",
    judge: str = "",
    reward: list[str] | None = None,
    best_of: Count | None = None,
    prompts: Path | None = None,
    answers: Count = ANSWERS,
    set: list[str] | None = None,
    seed: Seed = 0,
    out: Path | None = None,
    ledger: str = "",
    shared: Shared = Shared(),
) -> None:
    """Learn from what was rated; the new version is put into use only if held-out ratings prove it better.

    Trains a challenger on the version in use, lets both answer prompts that were never learned from, and prints a
    receipt: what moved, how surely, and what it cost. Broken off, the same command goes on where it was.

    Parameters
    ----------
    model
        A model, like notes: the version in use learns.
    minutes
        How long to learn; measuring comes on top. Default: 5, where no steps are given.
    steps
        How many steps to take, exactly.
    method
        dpo learns from pairs, kto from single thumbs, weighted makes what was liked likelier; policy practises: the
        model tries the rated prompts anew, and what is judged better than its other attempts becomes likelier. none
        learns nothing and says what a choice among several answers gains. Default: dpo or kto, by the ratings.
    judge
        A machine that also judges the held-out answers, like length:most=1 or "regex:pattern=[!]".
    reward
        What attempts of --method policy are judged by: model is a reward model fitted to the ratings, others are checks
        like length:most=20. Repeat for several, each of which has the same say. Default: model.
    best_of
        Also say how often the best of so many answers of the version in use, chosen by the reward model, beats its
        first.
    prompts
        A file with one prompt a line, to be answered beside those held out: with --judge, they prove what it says more
        surely. Prompts whose answers were rated are left out.
    answers
        How many held-out prompts both versions answer at most.
    set
        A value of the job, like learning.beta=0.2. Repeat for several.
    seed
        Another number learns in another order.
    out
        A file for the receipt as a page with charts, or a folder to put receipt.html into.
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, screen = shared.open()
    report = None if out is None else file_at(out, "receipt.html")
    wishes = Wishes(minutes=minutes or 0.0, steps=steps or 0, seed=seed)
    overrides = dict(setting(text) for text in set or ())
    more = lines_of(prompts) if prompts else ()
    rewards = tuple(reward or (REWARD_MODEL,))
    wanted = Wanted(
        model,
        method,
        judge,
        prompts=more,
        rewards=rewards,
        best_of=best_of or 0,
        wishes=wishes,
        overrides=overrides,
        answers=answers,
    )
    learned = _watch(workspace, wanted, ledger, screen)
    _tell(workspace, learned, report, screen)


def _watch(workspace: Workspace, wanted: Wanted, ledger: str, screen: Screen) -> Learned:
    """Show the round as it goes."""
    losses: dict[str, float] = {}
    events = learn(workspace, open_ledger(workspace.root, ledger), wanted)
    with closing(events), screen.progress("Learning", 1.0) as bar:
        for event in events:
            match event:
                case Stage(text):
                    screen.note(text)
                case Warned(text):
                    screen.note(f"Note: {text}")
                case Contract():
                    screen.note(f"{counted(event.steps, 'step')}, about {duration(event.seconds)}")
                case Stepped():
                    losses = smoothed(losses, event.losses)
                    agrees = event.metrics.get("agreement")
                    more = "" if agrees is None else f", agrees with {100 * agrees:.0f} % of the ratings"
                    if "earned" in event.metrics:
                        more = f", attempts earned {event.metrics['earned']:.2f}"
                    bar.update(event.step / event.steps, f"loss {sum(losses.values()):.3f}{more}")
                case Learned():
                    return event
    raise AssertionError("a round ends with its receipt")


def _tell(workspace: Workspace, learned: Learned, out: Path | None, screen: Screen) -> None:
    receipt: Receipt = learned.receipt
    screen.text(as_text(receipt))
    folder = workspace.run(learned.run).folder
    where = folder / "receipt.html"
    if out is not None:
        write_atomic(out, page(receipt))
        where = out
    screen.say(f"The receipt with charts: {where}")
    if not receipt.decision.promote and receipt.challenger != receipt.champion:
        version = receipt.challenger.rpartition("/")[2]
        screen.say(f"To put the challenger into use all the same: genloom promote {receipt.model} --to {version}")
    facts = {"promoted": receipt.decision.promote, "champion": receipt.champion, "challenger": receipt.challenger}
    screen.result({**facts, "receipt": learned.digest, "run": learned.run, "page": str(where)})
