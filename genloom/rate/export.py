"""Ratings for other programs: the ledger itself, or rows for TRL's DPO and KTO trainers."""

from collections.abc import Iterator
from typing import Any, Literal

from genloom.rate.preferences import build_preferences
from genloom.rate.prompts import extract_prompt
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

Format = Literal["jsonl", "dpo", "kto"]


def export_rows(workspace: Workspace, ledger: Ledger, to: Format, model: str = "") -> Iterator[dict[str, Any]]:
    """Yield one JSON object per row, about the outputs of `model`, or of all models.

    jsonl: every entry of the ledger, with the hash chain. dpo: prompt, chosen, rejected. kto: prompt, completion,
    label; a pair gives a desirable and an undesirable row. In a conversation, the parts are lists of messages. Each row
    also has its weight, its split and the ledger entries it comes from; trainers ignore columns they do not know.
    """
    if to == "jsonl":
        ledger.verify_new()
        yield from (vars(event) for event in ledger.iter_events())
        return
    preferences = build_preferences(workspace, ledger, model)
    for pair in preferences.pairs:
        metadata = {"weight": pair.weight, "split": pair.split, "events": list(pair.events)}
        prompt, chosen = _read_exchange(workspace, pair.chosen)
        _, rejected = _read_exchange(workspace, pair.rejected)
        if to == "dpo":
            yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, **metadata}
        else:
            yield {"prompt": prompt, "completion": chosen, "label": True, **metadata}
            yield {"prompt": prompt, "completion": rejected, "label": False, **metadata}
    for rated in preferences.unpaired if to == "kto" else ():
        prompt, answer = _read_exchange(workspace, rated.output)
        metadata = {"weight": rated.weight, "split": rated.split, "events": list(rated.events)}
        yield {"prompt": prompt, "completion": answer, "label": rated.is_desirable, **metadata}


def _read_exchange(workspace: Workspace, output: str) -> tuple[Any, Any]:
    """Return the prompt and the answer of an output; the path of its file if the answer is not text."""
    path, record = workspace.get_output(output)
    answer = record.get("written") or str(path)
    if conversation := record.get("conversation"):
        return conversation, [{"role": "assistant", "content": answer}]
    return extract_prompt(record), answer
