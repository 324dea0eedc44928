"""`genloom learn`: train a challenger on ratings, and activate it only if it is proved better."""

from collections import deque
from contextlib import closing
from pathlib import Path

from genloom.api.models import Model
from genloom.api.progress import show_events
from genloom.api.receipts import Receipt
from genloom.cli.commands.train import parse_setting
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.model_input import read_prompts
from genloom.cli.options.numbers import Count, Minutes, OutputCount, Seed
from genloom.cli.options.training import Settings
from genloom.cli.options.workspace import LedgerURL, WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.errors import GenloomError
from genloom.learn.round import MAX_EVAL_PROMPTS
from genloom.program import quote_name


@describe_like(Model.learn)
def run(
    model: str,
    /,
    *,
    minutes: Minutes | None = None,
    steps: Count | None = None,
    method: str = "auto",
    check: str = "",
    reward: list[str] | None = None,
    goal: str = "",
    calls: Count | None = None,
    best_of: OutputCount | None = None,
    prompts: Path | None = None,
    max_eval_prompts: OutputCount = MAX_EVAL_PROMPTS,
    trial: bool = False,
    set: Settings | None = None,
    seed: Seed = 0,
    devices: Count | None = None,
    out: Path | None = None,
    ledger: LedgerURL = "",
    common: WorkOptions = WorkOptions(),
) -> None:
    """Learn from ratings; the new version is activated only if held-out ratings prove it better.

    Trains a challenger on the active version, lets both answer prompts that were held out, and prints a receipt: what
    changed, with which confidence, and at which cost. If interrupted, run the same command again to continue.

    Parameters
    ----------
    model
        Model name, e.g. notes; its active version learns.
    reward
        Reward of --method grpo: model (a reward model fitted to the ratings) or a check like length:max_length=20.
        Repeatable; all have equal weight. [default: model]
    prompts
        File of extra evaluation prompts, one per line, for the safeguards and, with --check, a tighter win rate.
    max_eval_prompts
        Maximum number of held-out prompts that both versions answer.
    out
        File for the HTML receipt with charts, or a folder for receipt.html.
    """
    workspace, console = common.open(ledger)
    receipt_path = None if out is None else resolve_output_file(out, "receipt.html")
    learner = workspace.model(model)
    if "/" in model and not learner.is_active:
        raise GenloomError("learn.not_active", version=learner.ref, name=learner.name, number=learner.version)
    events = learner.iter_learn(
        minutes=minutes or 0.0,
        steps=steps or 0,
        method=method,
        check=check,
        reward=reward or (),
        goal=goal,
        calls=calls or 0,
        best_of=best_of or 0,
        prompts=read_prompts(prompts) if prompts else (),
        max_eval_prompts=max_eval_prompts,
        trial=trial,
        overrides=dict(parse_setting(text) for text in set or ()),
        seed=seed,
        devices=devices or 0,
    )
    with closing(events), console.show_progress("Learning", 1.0) as bar:
        (result,) = deque(show_events(events, bar, console.print_note), maxlen=1)
    _print_receipt(learner.to_receipt(result), receipt_path, console)


def _print_receipt(receipt: Receipt, out: Path | None, console: Console) -> None:
    content = receipt.content
    console.print_text(str(receipt))
    page_path = receipt.page if out is None else receipt.save(out)
    console.print_line(f"Receipt with charts: {page_path}")
    if not receipt.is_promoted and content.challenger != content.champion:
        version = content.challenger.rpartition("/")[2]
        console.print_hint(
            f"To activate the challenger anyway: genloom promote {quote_name(content.model)} --to {version}"
        )
    summary = {"promoted": receipt.is_promoted, "champion": content.champion, "challenger": content.challenger}
    console.print_result({**summary, "receipt": receipt.digest, "run": receipt.run, "page": str(page_path)})
