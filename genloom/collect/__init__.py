"""Collect files into data sets: `collect` yields CollectProgress, the last one with the Report."""

from genloom.collect.card import summarize_report
from genloom.collect.options import CollectProgress, Note, Options, Report
from genloom.collect.run import collect

__all__ = ["CollectProgress", "Note", "Options", "Report", "collect", "summarize_report"]
