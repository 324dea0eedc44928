"""The task that an output answers, and whether that task is trained on or held out."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

Split = Literal["train", "val"]
_HOLDOUT_DIVISOR = 4  # one task in four is held out


def extract_prompt(record: Mapping[str, Any]) -> str:
    """Return the prompt of an output with the other conditions that it was given, a line each: "logp=2.5".

    Within a conversation it is all earlier messages: a single one as it is, more, or one with a system prompt, as JSON.
    """
    conversation = record.get("conversation") or ()
    prompt = str(conversation[0]["content"] if conversation else record.get("prompt") or "")
    if len(conversation) > 1:
        prompt = json.dumps([[message["role"], message["content"]] for message in conversation], ensure_ascii=False)
    return "\n".join(
        [*([prompt] if prompt else []), *(f"{name}={text}" for name, text in (record.get("given") or {}).items())]
    )


def build_task(output: str, record: Mapping[str, Any]) -> str:
    """Identify the task of an output that has no prompt: by its nonce, or by its own id; "" if it has a prompt.

    An unconditional model has no prompts to split by: each of its draws of noise is a task of its own.
    """
    if extract_prompt(record):
        return ""
    nonces, row = (record.get("request") or {}).get("nonces") or (), int(record.get("row") or 0)
    return f"\0nonce {nonces[row]}" if row < len(nonces) else f"\0output {output}"


def assign_split(key: str) -> Split:
    """Return whether preferences about this task (a prompt, or what `build_task` gives) are trained on or held out.

    A hash holds out a quarter of all tasks, so a task's split never changes and is the same everywhere. Letter case and
    whitespace make no difference: prompts that differ in nothing else are never on both sides.
    """
    folded_key = " ".join(unicodedata.normalize("NFKC", key).casefold().split())
    hash_byte = hashlib.sha256(f"genloom held-out prompts 1\n{folded_key}".encode("utf-8", "surrogatepass")).digest()[0]
    return "val" if hash_byte % _HOLDOUT_DIVISOR == 0 else "train"


def normalize_prompt(prompt: str) -> str:
    """Return the identity of a prompt: whitespace is collapsed, letter case counts ("c1ccccc1" is not "C1CCCCC1")."""
    return " ".join(unicodedata.normalize("NFC", prompt).split())
