"""Errors of other processes, which have written their text already."""

from collections.abc import Mapping
from typing import Any

from genloom.errors import GenloomError


class RemoteError(GenloomError):
    """An error that another process of the server raised."""

    def __init__(self, code: str, message: str, fields: Mapping[str, Any] | None = None) -> None:
        ValueError.__init__(self, message)
        self.code, self.fields = code, dict(fields or {})
