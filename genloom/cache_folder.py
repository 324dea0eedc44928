"""The folder of what can be made or downloaded again: compiled code and packages of pretrained models."""

import os
from pathlib import Path

from genloom.errors import GenloomError


def find_cache_folder() -> Path:
    """Return Genloom's folder in this user's cache; raise GenloomError for a user without a home folder."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "genloom"
    try:
        return Path.home() / ".cache" / "genloom"
    except RuntimeError:
        raise GenloomError("core.no_home") from None
