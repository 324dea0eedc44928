"""Collects text into data sets: `collect` yields Progress, the last one with the Report."""

from genloom.collect.card import summary
from genloom.collect.options import SCRUBS, Note, Options, Progress, Report
from genloom.collect.run import collect

__all__ = ["SCRUBS", "Note", "Options", "Progress", "Report", "collect", "summary"]
