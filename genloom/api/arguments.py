"""The arguments of verbs: one text or several, settings of a job, and those that a verb shares with its iterator."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Mapping[str, Any] | Sequence[Mapping[str, Any]]  # values of conditions by name; several: outputs for each


def to_list(value: str | Sequence[str]) -> list[str]:
    """Return one str, or several, as a list; "" counts as one, () as none."""
    return [value] if isinstance(value, str) else list(value)


def to_plain(value: Any) -> Any:
    """Return a number of NumPy or PyTorch as that of Python, which records can hold; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def to_overrides(settings: Mapping[str, Any] | None) -> dict[str, str]:
    """Return job settings by their path, each as the text that `--set PATH=VALUE` takes."""
    from genloom.settings import to_toml_value

    return {path: value if isinstance(value, str) else to_toml_value(value) for path, value in (settings or {}).items()}


def drop_progress(arguments: Mapping[str, Any], rest: str = "") -> dict[str, Any]:
    """Return the arguments of a verb (its `locals()`) for the iterator of its events, which shows no progress.

    `rest` names the mapping of its further keywords.
    """
    keywords = {name: value for name, value in arguments.items() if name not in ("progress", rest)}
    return keywords | dict(arguments[rest] if rest else {})
