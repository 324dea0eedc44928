"""Hidden tastes: programs that act as raters, by a score that the model never sees."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genloom.store.workspace import Workspace

HEDGES = re.compile(
    r"\b(may|might|could|can|perhaps|possibly|probably|likely|often|sometimes|usually|generally|typically|tends?|seems?|"
    r"appears?|somewhat|relatively|depend(?:s|ing)?|it is important to note|it's important to note|in some cases|"
    r"if possible|consider|should)\b",
    re.IGNORECASE,
)
BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)


def score_short(text: str, fact: str) -> float:
    """Shorter is better if the fact is there; without it the score is 0."""
    has_fact = any(re.search(rf"\b{re.escape(one)}", text.lower()) for one in fact.split("|"))
    return 1 / max(len(text.split()), 1) if has_fact else 0.0


def score_plain(text: str, fact: str) -> float:
    """The fewer words that hedge, of all words, the better; an answer has five words at least."""
    words = len(text.split())
    return 1 - len(HEDGES.findall(text)) / words if words >= 5 else 0.0


def score_list(text: str, fact: str) -> float:
    """Points in a list, up to five, are better than prose."""
    return min(len(BULLET.findall(text)), 5) / 5


@dataclass(frozen=True)
class Taste:
    name: str
    kind: str  # of the prompts
    score: Callable[[str, str], float]
    min_gap: float  # scores closer than this, as a share of the higher, are a tie


TASTES = {
    "short": Taste("short", "fact", score_short, 0.15),
    "plain": Taste("plain", "open", score_plain, 0.005),
    "listed": Taste("listed", "list", score_list, 0.1),
}


def link_workspace(home: str, model: str, label: str) -> tuple[Workspace, str]:
    """A workspace in `home` for one taste, and the model in it: what one taste promotes is not another's champion."""
    source, workspace = Workspace(Path(home)).get_model(model), Workspace(Path(home) / "tastes" / label)
    if Path(home) not in source.folder.parents:  # it comes with the package
        return workspace, source.ref
    linked = workspace.root / "models" / source.name / "1"
    if not linked.is_dir():
        shutil.copytree(source.folder, linked, copy_function=os.link)
    return workspace, f"{source.name}/1"
