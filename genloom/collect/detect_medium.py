"""Chooses the medium that sources are collected as: what most of their files are."""

from collections.abc import Sequence

from genloom import plugins
from genloom.collect import preparation
from genloom.collect.sources import SourceFile

FALLBACK_MEDIUM = (
    "text"  # what a file may hold whatever its name, so that any other medium that claims as many goes before
)


def resolve_medium(medium_name: str, files: Sequence[SourceFile]) -> str:
    """The medium wanted, else the one that most of the files are of. ValueError for one that cannot be collected."""
    if medium_name:
        plugins.find_part("medium", medium_name)
        preparation.get_preparation(medium_name)
        return medium_name
    match_counts = {
        medium: preparation.get_preparation(medium).match_count(files) for medium in plugins.part_names("preparation")
    }
    best_medium = max(match_counts, key=lambda medium: (match_counts[medium], medium != FALLBACK_MEDIUM))
    return best_medium if match_counts[best_medium] else FALLBACK_MEDIUM
