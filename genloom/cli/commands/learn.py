"""`genloom learn`: ratings become a challenger, which replaces the version in use only if it is proved better."""

from contextlib import closing
from pathlib import Path

from genloom.cli.commands.train import parse_setting, smooth_losses
from genloom.cli.console import Console, format_duration
from genloom.cli.options.common import CommonOptions, read_prompts
from genloom.cli.options.types import Count, Positive, Seed
from genloom.cli.output_path import resolve_output_file
from genloom.learn.rl_env import REWARD_MODEL
from genloom.learn.round import MAX_EVAL_PROMPTS, LearnRequest, LearnResult, learn
from genloom.rate.report.html import render_page
from genloom.rate.report.receipt import Receipt, to_text
from genloom.rate.report.wording import format_count
from genloom.store.files import write_atomic
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import RunEstimate, RunWarning, Status, StepMetrics
from genloom.train.planning.auto_config import Budget


def run(
    model: str,
    /,
    *,
    minutes: Positive | None = None,
    steps: Count | None = None,
    method: str = "auto",
    check: str = "",
    reward: list[str] | None = None,
    best_of: Count | None = None,
    prompts: Path | None = None,
    max_eval_prompts: Count = MAX_EVAL_PROMPTS,
    set: list[str] | None = None,
    seed: Seed = 0,
    out: Path | None = None,
    ledger: str = "",
    common: CommonOptions = CommonOptions(),
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
    check
        A machine that also judges the held-out answers, like length:max_length=1 or "regex:pattern=[!]".
    reward
        What attempts of --method policy are judged by: model is a reward model fitted to the ratings, others are checks
        like length:max_length=20. Repeat for several, each of which has the same say. Default: model.
    best_of
        Also say how often the best of so many answers of the version in use, chosen by the reward model, beats its
        first.
    prompts
        A file with one prompt a line, to be answered beside those held out: with --check, they prove what it says more
        surely. Prompts whose answers were rated are left out.
    max_eval_prompts
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
    workspace, console = common.open()
    receipt_path = None if out is None else resolve_output_file(out, "receipt.html")
    budget = Budget(minutes=minutes or 0.0, steps=steps or 0, seed=seed)
    overrides = dict(parse_setting(text) for text in set or ())
    extra_prompts = read_prompts(prompts) if prompts else ()
    reward_names = tuple(reward or (REWARD_MODEL,))
    request = LearnRequest(
        model,
        method,
        check,
        extra_prompts=extra_prompts,
        rewards=reward_names,
        best_of=best_of or 0,
        budget=budget,
        overrides=overrides,
        max_eval_prompts=max_eval_prompts,
    )
    result = _show_progress(workspace, request, ledger, console)
    _print_result(workspace, result, receipt_path, console)


def _show_progress(workspace: Workspace, request: LearnRequest, ledger: str, console: Console) -> LearnResult:
    """Show the round as it goes."""
    losses: dict[str, float] = {}
    events = learn(workspace, open_ledger(workspace.root, ledger), request)
    with closing(events), console.show_progress("Learning", 1.0) as bar:
        for event in events:
            match event:
                case Status(text):
                    console.print_note(text)
                case RunWarning(text):
                    console.print_note(f"Note: {text}")
                case RunEstimate():
                    console.print_note(f"{format_count(event.steps, 'step')}, about {format_duration(event.seconds)}")
                case StepMetrics():
                    losses = smooth_losses(losses, event.losses)
                    agreement = event.metrics.get("agreement")
                    metric_note = "" if agreement is None else f", agrees with {100 * agreement:.0f} % of the ratings"
                    if "reward" in event.metrics:
                        metric_note = f", attempts reward {event.metrics['reward']:.2f}"
                    bar.update(event.step / event.steps, f"loss {sum(losses.values()):.3f}{metric_note}")
                case LearnResult():
                    return event
    raise AssertionError("a round ends with its receipt")


def _print_result(workspace: Workspace, result: LearnResult, out: Path | None, console: Console) -> None:
    receipt: Receipt = result.receipt
    console.print_text(to_text(receipt))
    folder = workspace.get_run(result.run).folder
    page_path = folder / "receipt.html"
    if out is not None:
        write_atomic(out, render_page(receipt))
        page_path = out
    console.print_line(f"The receipt with charts: {page_path}")
    if not receipt.decision.should_promote and receipt.challenger != receipt.champion:
        version = receipt.challenger.rpartition("/")[2]
        console.print_line(
            f"To put the challenger into use all the same: genloom promote {receipt.model} --to {version}"
        )
    summary = {
        "promoted": receipt.decision.should_promote,
        "champion": receipt.champion,
        "challenger": receipt.challenger,
    }
    console.print_result({**summary, "receipt": result.digest, "run": result.run, "page": str(page_path)})
