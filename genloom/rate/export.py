"""Ratings for other programs: the ledger as it is, or rows as TRL's DPO and KTO trainers read them."""

from collections.abc import Iterator
from typing import Any, Literal

from genloom.rate.preferences import build_preferences
from genloom.rate.prompts import assign_split, extract_prompt
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

Format = Literal["jsonl", "dpo", "kto"]


def export_rows(workspace: Workspace, ledger: Ledger, to: Format, model: str = "") -> Iterator[dict[str, Any]]:
    """One JSON object a row.

    jsonl: every entry of the ledger, with the chain. dpo: prompt, chosen, rejected. kto: prompt, completion, label;
    a pair gives a good and a bad row. Of answers in a conversation, the parts are lists of messages. Each row also has
    its weight, whether Genloom holds it out, and the entries it comes from; trainers that do not know those pass over
    them. Without a model, all models'.
    """
    if to == "jsonl":
        yield from (vars(event) for event in ledger.iter_events())
        return
    preferences = build_preferences(workspace, ledger, model)
    for pair in preferences.pairs:
        metadata = {"weight": pair.weight, "split": assign_split(pair.prompt), "events": list(pair.events)}
        (prompt, chosen), (_, rejected) = (
            _read_exchange(workspace, pair.chosen),
            _read_exchange(workspace, pair.rejected),
        )
        if to == "dpo":
            yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, **metadata}
        else:
            yield {"prompt": prompt, "completion": chosen, "label": True, **metadata}
            yield {"prompt": prompt, "completion": rejected, "label": False, **metadata}
    for preference in preferences.unpaired if to == "kto" else ():
        prompt, answer = _read_exchange(workspace, preference.output)
        metadata = {
            "weight": preference.weight,
            "split": assign_split(preference.prompt),
            "events": list(preference.events),
        }
        yield {"prompt": prompt, "completion": answer, "label": preference.is_desirable, **metadata}


def _read_exchange(workspace: Workspace, output: str) -> tuple[Any, Any]:
    """What was asked and what was answered; the file's path where the answer is no text."""
    path, record = workspace.get_output(output)
    answer = record.get("written") or str(path)
    if conversation := record.get("conversation"):
        return conversation, [{"role": "assistant", "content": answer}]
    return extract_prompt(record), answer
