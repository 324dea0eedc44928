"""Choose the medium of a collection: that of most of its files."""

from collections.abc import Sequence

from genloom import plugins
from genloom.collect import preparation
from genloom.collect.sources import SourceFile


def resolve_medium(medium_name: str, files: Sequence[SourceFile]) -> str:
    """Return the given medium, or with "" the medium of most files.

    Raises GenloomError for a medium that cannot be collected.
    """
    if medium_name:
        plugins.find_part("medium", medium_name)
        preparation.get_preparation(medium_name)
        return medium_name
    preparations = {medium: preparation.get_preparation(medium) for medium in plugins.list_part_names("preparation")}
    counts = {medium: each.count_matching_files(files) for medium, each in preparations.items()}
    if not any(counts.values()):
        return next(medium for medium, each in preparations.items() if each.accepts_any_file)
    # Of a medium that accepts any file, the count says less than that of another.
    return max(counts, key=lambda medium: (counts[medium], not preparations[medium].accepts_any_file))
