"""Chooses the medium that sources are collected as: what most of their files are."""

from collections.abc import Sequence

from genloom import plugins
from genloom.collect import preparation
from genloom.collect.sources import Found

ANY = "text"  # what a file may hold whatever its name, so that any other medium that claims as many goes before


def chosen(wanted: str, files: Sequence[Found]) -> str:
    """The medium wanted, else the one that most of the files are of. ValueError for one that cannot be collected."""
    if wanted:
        plugins.find("medium", wanted)
        preparation.of(wanted)
        return wanted
    claimed = {medium: preparation.of(medium).claims(files) for medium in plugins.names("preparation")}
    best = max(claimed, key=lambda medium: (claimed[medium], medium != ANY))
    return best if claimed[best] else ANY
