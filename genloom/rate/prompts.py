"""What an output answers, and whether that prompt is learned from or held out."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

_HOLDOUT_DIVISOR = 4  # every fourth prompt


def extract_prompt(record: Mapping[str, Any]) -> str:
    """What the output was asked: its prompt, or, of an answer within a conversation, all that was said before.

    A conversation of one question reads as that question; a longer one, or one with a system prompt, as JSON.
    """
    conversation = record.get("conversation") or ()
    if len(conversation) > 1:
        return json.dumps([[message["role"], message["content"]] for message in conversation], ensure_ascii=False)
    return str(conversation[0]["content"] if conversation else record.get("prompt") or "")


def assign_split(prompt: str) -> Literal["train", "val"]:
    """Whether what is said about answers to this prompt is learned from, or held out to prove what was learned.

    A quarter of all prompts is held out, by a hash, so that a prompt's place never changes and is the same
    everywhere. Letter case and blanks make no difference.
    """
    hash_byte = hashlib.sha256(
        f"genloom held-out prompts 1\n{normalize_prompt(prompt)}".encode("utf-8", "surrogatepass")
    ).digest()[0]
    return "val" if hash_byte % _HOLDOUT_DIVISOR == 0 else "train"


def normalize_prompt(prompt: str) -> str:
    """What two prompts share that are the same but for letter case and blanks."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())
