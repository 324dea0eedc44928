"""How the work of a job can end, besides with its result."""


class JobCancelled(Exception):
    """The job stopped because it was asked to."""


class ProcessDied(Exception):
    """The process ended without a word: out of memory, kill -9, a crash in native code."""
