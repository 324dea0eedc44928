"""`genloom learn`: train a challenger on ratings, and activate it only if it is proved better."""

from contextlib import closing
from pathlib import Path

from genloom.cli.commands.train import parse_setting, smooth_losses
from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions, LedgerURL, Settings, read_prompts
from genloom.cli.options.types import Count, Positive, Seed
from genloom.cli.output_path import resolve_output_file
from genloom.learn.rl_env import REWARD_MODEL
from genloom.learn.round import MAX_EVAL_PROMPTS, LearnRequest, LearnResult, learn
from genloom.old_names import upgrade_method
from genloom.rate.report.html import render_page
from genloom.rate.report.receipt import Receipt, to_text
from genloom.store.files import write_atomic
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from genloom.text_format import format_count, format_duration
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
    set: Settings | None = None,
    seed: Seed = 0,
    out: Path | None = None,
    ledger: LedgerURL = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Learn from ratings; the new version is activated only if held-out ratings prove it better.

    Trains a challenger on the active version, lets both answer prompts that were held out, and prints a receipt: what
    changed, with which confidence, and at which cost. If interrupted, run the same command again to continue.

    Parameters
    ----------
    model
        Model name, e.g. notes; its active version learns.
    minutes
        Time budget of the training, without the evaluation. [default: 5, if no --steps are given]
    steps
        Exact number of steps.
    method
        dpo: pairs. kto: single thumbs up/down. weighted: SFT weighted by rating. grpo: sample new answers to the rated
        prompts and reinforce those that score above their group. none: no training, only what best-of-n gains.
        auto: dpo or kto, by the ratings.
    check
        Machine check that also compares the held-out answers, e.g. length:max_length=1 or "regex:pattern=[!]".
    reward
        Reward of --method grpo: model (a reward model fitted to the ratings) or a check like length:max_length=20.
        Repeatable; all have equal weight. [default: model]
    best_of
        Number of answers of the active version for a best-of-n baseline, chosen by the reward model.
    prompts
        File of extra evaluation prompts, one per line. Needs --check; more prompts give a tighter result.
    max_eval_prompts
        Maximum number of held-out prompts that both versions answer.
    out
        File for the HTML receipt with charts, or a folder for receipt.html.
    """
    workspace, console = common.open()
    receipt_path = None if out is None else resolve_output_file(out, "receipt.html")
    budget = Budget(minutes=minutes or 0.0, steps=steps or 0, seed=seed)
    overrides = dict(parse_setting(text) for text in set or ())
    extra_prompts = read_prompts(prompts) if prompts else ()
    reward_names = tuple(reward or (REWARD_MODEL,))
    request = LearnRequest(
        model,
        upgrade_method(method),
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
    """Run the round and show its progress."""
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
                    metric_note = "" if agreement is None else f", agreement {100 * agreement:.0f} %"
                    if "reward" in event.metrics:
                        metric_note = f", mean reward {event.metrics['reward']:.2f}"
                    bar.update(event.step / event.steps, f"loss {sum(losses.values()):.3f}{metric_note}")
                case LearnResult():
                    return event
    raise AssertionError("a round ends with a result")


def _print_result(workspace: Workspace, result: LearnResult, out: Path | None, console: Console) -> None:
    receipt: Receipt = result.receipt
    console.print_text(to_text(receipt))
    folder = workspace.get_run(result.run).folder
    page_path = folder / "receipt.html"
    if out is not None:
        write_atomic(out, render_page(receipt))
        page_path = out
    console.print_line(f"Receipt with charts: {page_path}")
    if not receipt.decision.should_promote and receipt.challenger != receipt.champion:
        version = receipt.challenger.rpartition("/")[2]
        console.print_line(f"To activate the challenger anyway: genloom promote {receipt.model} --to {version}")
    summary = {
        "promoted": receipt.decision.should_promote,
        "champion": receipt.champion,
        "challenger": receipt.challenger,
    }
    console.print_result({**summary, "receipt": result.digest, "run": result.run, "page": str(page_path)})
