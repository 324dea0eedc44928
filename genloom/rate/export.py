"""Ratings for other programs: the ledger as it is, or rows as TRL's DPO and KTO trainers read them."""

from collections.abc import Iterator
from typing import Any, Literal

from genloom.rate.preferences import preferences
from genloom.rate.prompts import prompt_of, split
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

Format = Literal["jsonl", "dpo", "kto"]


def rows(workspace: Workspace, ledger: Ledger, to: Format, model: str = "") -> Iterator[dict[str, Any]]:
    """One JSON object a row.

    jsonl: every entry of the ledger, with the chain. dpo: prompt, chosen, rejected. kto: prompt, completion, label;
    a pair gives a good and a bad row. Of answers in a conversation, the parts are lists of messages. Each row also has
    its weight, whether Genloom holds it out, and the entries it comes from; trainers that do not know those pass over
    them. Without a model, all models'.
    """
    if to == "jsonl":
        yield from (vars(event) for event in ledger.events())
        return
    found = preferences(workspace, ledger, model)
    for pair in found.pairs:
        facts = {"weight": pair.weight, "split": split(pair.prompt), "events": list(pair.events)}
        (asked, chosen), (_, rejected) = _texts(workspace, pair.win), _texts(workspace, pair.lose)
        if to == "dpo":
            yield {"prompt": asked, "chosen": chosen, "rejected": rejected, **facts}
        else:
            yield {"prompt": asked, "completion": chosen, "label": True, **facts}
            yield {"prompt": asked, "completion": rejected, "label": False, **facts}
    for opinion in found.opinions if to == "kto" else ():
        asked, answer = _texts(workspace, opinion.output)
        facts = {"weight": opinion.weight, "split": split(opinion.prompt), "events": list(opinion.events)}
        yield {"prompt": asked, "completion": answer, "label": opinion.good, **facts}


def _texts(workspace: Workspace, output: str) -> tuple[Any, Any]:
    """What was asked and what was answered; the file's path where the answer is no text."""
    path, record = workspace.output(output)
    answer = record.get("written") or str(path)
    if said := record.get("conversation"):
        return said, [{"role": "assistant", "content": answer}]
    return prompt_of(record), answer
