"""The receipt of an improvement: what was tried, what won, and how sure that is."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.assistant.prompts.improve import Improvement
from genloom.assistant.prompts.prompt import Prompt
from genloom.assistant.prompts.prompt_file import format_prompt
from genloom.metrics.statistics import IntervalEstimate, compute_wilson_interval
from genloom.rate.gate import compute_win_interval
from genloom.store.files import read_beginning
from genloom.store.manifest import write_json
from genloom.text_format import format_count, format_table

MAX_RECEIPT_BYTES = 50_000_000
FOLDER = "prompts"  # of a workspace's reports
_SHOWN_CHANGES = 3  # held-out answers that changed


@dataclass(frozen=True)
class ImproveReceipt:
    """A search for a better prompt, and its result."""

    prompt: str  # the ref of the prompt that was to be improved
    saved: str  # the ref of the new version; "": the prompt stays
    model: str
    model_digest: str
    judge: str
    seed: int
    improvement: Improvement

    def to_record(self) -> dict[str, Any]:
        """Return the receipt as JSON values."""
        found = self.improvement
        record: dict[str, Any] = {
            "prompt": self.prompt,
            "saved": self.saved,
            "is_proved": found.is_proved,
            "model": self.model,
            "model_digest": self.model_digest,
            "judge": self.judge,
            "seed": self.seed,
            "train": len(found.split.train),
            "held_out": len(found.split.held_out),
            "held_out_digest": found.split.held_out_digest,
            "parent_digest": found.prompt.digest,
            "trials": [vars(trial) for trial in found.trials],
            "best": found.best.how,
            "answers": found.num_answers,
            "earlier_attempts": found.num_earlier,
            "seconds": round(found.seconds, 1),
            "reasons": explain_decision(found),
            "changes": list_changes(found.prompt, found.best.prompt) if found.best.edits else [],
        }
        if (proof := found.proof) is not None:
            record["current"] = describe_share(proof.current)
            record["challenger"] = describe_share(proof.challenger)
            record["gained"], record["lost"] = proof.num_gained, proof.num_lost
            if proof.measure is not None:
                record["win_interval"] = list(compute_win_interval(proof.measure))
                record["alpha"] = proof.measure.alpha
            record["held_out_answers"] = [
                {
                    "input": given,
                    "current": old,
                    "challenger": new,
                    "current_is_right": was,
                    "challenger_is_right": right,
                }
                for (given, old, new), was, right in zip(found.examples, proof.current, proof.challenger, strict=True)
            ]
        return record

    def write(self, folder: Path, name: str) -> Path:
        """Write the receipt to the reports of a workspace, and return its path."""
        path = folder / "reports" / FOLDER / f"{name}.json"
        write_json(path, self.to_record())
        return path

    def __str__(self) -> str:
        return "\n".join(format_receipt(self))


def count_attempts(folder: Path, prompt: Prompt, held_out_digest: str) -> int:
    """Return how many receipts of a workspace are about this version of a prompt and these held-out inputs."""
    paths = (folder / "reports" / FOLDER).glob("*.json")
    tables = [read_receipt(path) for path in sorted(paths)]
    return sum(
        table.get("prompt") == prompt.ref and table.get("held_out_digest") == held_out_digest for table in tables
    )


def read_receipt(path: Path) -> Mapping[str, Any]:
    """Return the table of a receipt; an empty one for a file that cannot be read."""
    try:
        table = json.loads(read_beginning(path, MAX_RECEIPT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def format_receipt(receipt: ImproveReceipt) -> list[str]:
    """Return the receipt in lines for people."""
    found = receipt.improvement
    answers = f"{format_count(found.num_answers, 'answer')} of {receipt.model} in {found.seconds:.0f} s"
    lines = [
        f"Tried on {format_count(len(found.split.train), 'training example')} ({answers}):",
        *format_trials(found),
        "",
    ]
    if (proof := found.proof) is not None:
        lines += [f"On {format_count(len(found.split.held_out), 'held-out example')}, which no choice used:"]
        rows = [("", "right", "95 % interval")]
        for name, right in ((f"{receipt.prompt}", proof.current), (found.best.how, proof.challenger)):
            share = compute_wilson_interval(sum(right), len(right))
            rows.append((name, f"{sum(right)} of {len(right)} ({100 * share.mean:.0f} %)", format_percents(share)))
        lines += [*format_table(rows), ""]
    lines += explain_decision(found)
    if receipt.saved:
        lines += ["", f"Saved as {receipt.saved}:", *list_changes(found.prompt, found.best.prompt)]
    else:
        lines += [f"{receipt.prompt} stays as it is."]
    return lines


def format_trials(found: Improvement) -> list[str]:
    """Return the trials as a table, those on all training cases first, then by their share."""
    total = len(found.split.train)
    ordered = sorted(found.trials, key=lambda trial: (trial.count != total, -trial.num_right / trial.count))
    rows = [("variant", "right", "of")] + [(t.how, str(t.num_right), str(t.count)) for t in ordered]
    return format_table(rows)


def explain_decision(found: Improvement) -> list[str]:
    """Return in sentences whether the best variant is proved better, and why."""
    if (proof := found.proof) is None:
        return ["No variant answers more training examples right."]
    if proof.measure is None:
        return ["Both answer the same held-out examples right."]
    low, high = (100 * bound for bound in compute_win_interval(proof.measure))
    share = f"{proof.num_gained} gained, {proof.num_lost} lost"
    interval = f"{100 * (1 - proof.measure.alpha):.4g} % interval of the share gained {low:.0f} to {high:.0f} %"
    earlier = format_count(found.num_earlier, "earlier attempt") if found.num_earlier else ""
    note = f", after {earlier} on the same examples" if earlier else ""
    verdict = "Proved better" if found.is_proved else "Not proved better"
    return [f"{verdict}: {share} ({interval}{note})."]


def list_changes(old: Prompt, new: Prompt) -> list[str]:
    """Return what changed in a prompt's file, as lines with + and -; examples are counted."""
    before, after = (
        [line for line in format_prompt(_drop_examples(prompt)).splitlines() if line.strip()] for prompt in (old, new)
    )
    diff = difflib.unified_diff(before, after, lineterm="", n=0)
    lines = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    counts = len(old.examples), len(new.examples)
    return lines + ([f"+ {format_count(counts[1], 'example')} (before: {counts[0]})"] if counts[0] != counts[1] else [])


def describe_share(right: tuple[bool, ...]) -> dict[str, Any]:
    share = compute_wilson_interval(sum(right), len(right))
    return {"right": sum(right), "count": len(right), "share": share.mean, "low": share.low, "high": share.high}


def format_percents(estimate: IntervalEstimate) -> str:
    return f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f} %"


def _drop_examples(prompt: Prompt) -> Prompt:
    from dataclasses import replace

    return replace(prompt, examples=(), tests=(), created="", note="", parent="", owner="")
