"""Errors of other processes, which have written their text already."""

from genloom.errors import GenloomError


class RemoteError(GenloomError):
    """An error that another process of the server raised."""

    def __init__(self, code: str, message: str) -> None:
        ValueError.__init__(self, message)
        self.code, self.fields = code, {}
