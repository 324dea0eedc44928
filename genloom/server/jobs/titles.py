"""The titles of jobs, as lists show them."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "generate": "{subject} · {prompt}",
    "chat": "Answer of {subject}",
    "arena": "Pairs of {subject}",
    "knowledge": "Read {subject}",
    "collect": "Collect {subject}",
    "train": "Train {subject}",
    "learn": "Teach {subject}",
    "evaluate": "Measure {subject}",
    "compare": "Compare {subject}",
    "forget": "Let {subject} forget",
    "import": "Import {subject}",
    "export": "Export {subject}",
    "verify": "Verify {subject}",
    "copies": "Look for copies in {subject}",
    "bias": "Measure the bias of {subject}",
    "privacy": "Measure the privacy of {subject}",
    "test_prompt": "Test {subject}",
    "design": "Design parts",
}


def build_title(kind: str, params: Mapping[str, Any]) -> str:
    """Return what a list of jobs shows."""
    subject = (
        params.get("name")
        or (params.get("prompt") if kind == "test_prompt" else "")
        or params.get("data")
        or params.get("model")
        or params.get("source")
        or params.get("output")
        or ""
    )
    prompt = params.get("prompt") or next(iter(params.get("prompts") or ()), "")
    text = TITLES[kind].format(subject=subject, prompt=prompt)
    return " ".join(text.split())[:200].rstrip(" ·")
