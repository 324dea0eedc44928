"""`genloom ratings`: what was rated, what it is worth, and taking it back."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from genloom.cli.out import file_at
from genloom.cli.screen import Screen, table
from genloom.cli.shared import Shared
from genloom.rate.export import Format, rows
from genloom.rate.preferences import Preferences, enough, preferences, split
from genloom.rate.promotion import settle
from genloom.rate.ratings import Choice, Rating, standing, withdraw
from genloom.rate.wording import counted
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace

Action = Literal["list", "withdraw", "export", "verify"]
_SHOWN = 20


def run(
    action: Action = "list",
    id: str | None = None,
    /,
    *,
    model: str = "",
    to: Format | None = None,
    out: Path | None = None,
    ledger: str = "",
    shared: Shared = Shared(),
) -> int:
    """Show what was rated and what it is worth, take a rating back, or write the ratings for other programs.

    Parameters
    ----------
    action
        list, withdraw ID, export --to FORMAT, or verify: is every entry as it was written?
    id
        The rating to withdraw.
    model
        Only ratings of this model's outputs, in any version.
    to
        What to export: jsonl is the ledger as it is, dpo and kto are what TRL's trainers read.
    out
        The file to export to, or a folder to put ratings.jsonl into. [default: standard output]
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, screen = shared.open()
    kept = open_ledger(workspace.root, ledger)
    if (action == "withdraw") != (id is not None) or (action == "export") != (to is not None):
        raise ValueError("It is: genloom ratings withdraw ID, or genloom ratings export --to jsonl (or dpo, kto).")
    if model:
        model = workspace.model(model).name
    if id is not None:
        _withdraw(kept, id, screen)
    elif to is not None:
        file = None if out is None else file_at(out, "ratings.jsonl")
        _export(workspace, kept, to, model, file, screen)
    elif action == "verify":
        return _verify(workspace, kept, screen)
    else:
        _list(workspace, kept, model, screen)
    return 0


def _withdraw(kept: Ledger, id: str, screen: Screen) -> None:
    event = withdraw(kept, id)
    screen.say(f"{id} is withdrawn: nothing is learned from it any more. That it was given stays in the ledger.")
    screen.result({"event": event.id, "at": event.at, "withdrawn": id})


def _export(workspace: Workspace, kept: Ledger, to: Format, model: str, out: Path | None, screen: Screen) -> None:
    found = list(rows(workspace, kept, to, model))
    lines = [json.dumps(row, ensure_ascii=False) for row in found]
    if out is not None:
        write_atomic(out, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        screen.say(f"{counted(len(found), 'row')} written to {out}")
    else:
        for line in lines:
            screen.say(line)
    screen.result({"to": to, "rows": found if out is None else len(found), "file": str(out) if out else None})


def _verify(workspace: Workspace, kept: Ledger, screen: Screen) -> int:
    try:
        kept.verify()
    except ValueError as error:
        screen.say(str(error))
        screen.result({"sound": False, "problem": str(error)})
        return 1
    for name in {folder.name for folder in workspace.models()}:
        settle(workspace, kept, name)
    head = kept.head()
    screen.result({"sound": True, "entries": head.seq if head else 0, "digest": head.digest if head else ""})
    screen.say(f"{counted(head.seq if head else 0, 'entry', 'entries')}, each as it was written.")
    if head:
        screen.say(f"Note the newest one's digest to be able to tell later that none was cut off: {head.digest}")
    return 0


def _list(workspace: Workspace, kept: Ledger, model: str, screen: Screen) -> None:
    found, stands = preferences(workspace, kept, model), standing(kept)
    missing = _missing(found)
    effects = {event: "pair" for each in found.pairs for event in each.events}
    effects |= {event: "opinion" for each in found.opinions for event in each.events if event not in effects}
    effects |= found.unused
    judged = (*stands.ratings, *stands.choices, *stands.replaced, *stands.withdrawn)
    listed = [_row(each, effects[each.event]) for each in sorted(judged, key=lambda j: j.at) if each.event in effects]
    places = Counter(split(each.prompt) for each in (*found.pairs, *found.opinions))
    facts = {
        "pairs": len(found.pairs),
        "opinions": len(found.opinions),
        "learned_from": places["train"],
        "held_out": places["val"],
        "enough": not missing,
        "missing": missing,
        "raters": dict(found.raters),
        "contradictions": [vars(each) for each in found.contradictions],
        "unused": dict(found.unused),
    }
    screen.result({"ratings": listed, **facts})
    if not listed:
        screen.say("Nothing was rated yet. Begin with: genloom rate ID --up, or genloom arena MODEL --prompts FILE")
        return
    for line in table([(r["event"], r["at"][:16].replace("T", " "), r["rater"], r["says"], r["effect"])
                       for r in listed[-_SHOWN:]]):  # fmt: skip
        screen.say(line)
    screen.say()
    given = "gives" if len(listed) == 1 else "give"
    screen.say(f"{counted(len(listed), 'rating')} {given} {counted(len(found.pairs), 'pair')} and "
               f"{counted(len(found.opinions), 'opinion')}, of which {places['val']} held out.")  # fmt: skip
    screen.say("Raters, by how far their word counts (1: nothing is known of them): "
               + ", ".join(f"{rater} {weight:.2f}" for rater, weight in found.raters.items()))  # fmt: skip
    for clash in found.contradictions:
        whose = " and ".join(clash.raters) + (" contradict each other" if len(clash.raters) > 1 else " says both")
        screen.say(f"Contradiction: {whose} about {' and '.join(clash.outputs)} ({', '.join(clash.events)})")
    if missing:
        screen.say(missing)


def _missing(found: Preferences) -> str:
    """What is missing to learn from it; "" where it is enough."""
    try:
        enough(found)
    except ValueError as error:
        return str(error)
    return ""


def _row(each: Rating | Choice, effect: str) -> dict[str, Any]:
    facts = {"event": each.event, "at": each.at, "rater": each.rater, "machine": each.machine, "effect": effect}
    if isinstance(each, Choice):
        signs = {"a": ">", "b": "<", "tie": "=", "bad": "both bad"}
        return facts | {"outputs": [each.a, each.b], "says": f"{each.a} {signs[each.winner]} {each.b}"}
    words = {"thumb": "good" if each.value > 0 else "bad", "stars": "*" * each.value, "note": "note"}
    return facts | {"outputs": [each.output], "says": f"{each.output} {words[each.scale]}", "note": each.note}
