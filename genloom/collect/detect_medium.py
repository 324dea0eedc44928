"""Choose the medium of a collection: that of most of its files."""

from collections.abc import Sequence

from genloom import plugins
from genloom.collect import preparation
from genloom.collect.sources import SourceFile

FALLBACK_MEDIUM = "text"  # any file may hold text whatever its name, so another medium that matches as many files wins


def resolve_medium(medium_name: str, files: Sequence[SourceFile]) -> str:
    """Return the given medium, or with "" the medium of most files.

    Raises GenloomError for a medium that cannot be collected.
    """
    if medium_name:
        plugins.find_part("medium", medium_name)
        preparation.get_preparation(medium_name)
        return medium_name
    match_counts = {
        medium: preparation.get_preparation(medium).match_count(files) for medium in plugins.part_names("preparation")
    }
    best_medium = max(match_counts, key=lambda medium: (match_counts[medium], medium != FALLBACK_MEDIUM))
    return best_medium if match_counts[best_medium] else FALLBACK_MEDIUM
