"""How many requests a user may make in a second, and have open at a time."""

import time
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from genloom.server.errors import APIError

_MAX_USERS = 10_000  # addresses without a key count too, and there are many
_BURST_SECONDS = 4.0


@dataclass
class _Usage:
    allowance: float
    counted_at: float = field(default_factory=time.monotonic)
    num_requests: int = 0
    num_channels: int = 0


class Limits:
    """The usage of the users that made a request lately."""

    def __init__(self, max_rate: float, max_requests: int, max_channels: int):
        self._max_rate, self._max_requests, self._max_channels = max_rate, max_requests, max_channels
        self._usages: OrderedDict[str, _Usage] = OrderedDict()

    @contextmanager
    def count_request(self, user: str, is_channel: bool) -> Generator[None]:
        """Count a request while the block runs; refuse it (429) above a limit."""
        usage = self._get_usage(user)
        if usage.allowance < 1:
            raise build_limit_error((1 - usage.allowance) / self._max_rate)
        if is_channel and usage.num_channels >= self._max_channels:
            raise build_limit_error(5)
        if not is_channel and usage.num_requests >= self._max_requests:
            raise build_limit_error(1)
        usage.allowance -= 1
        usage.num_channels += is_channel
        usage.num_requests += not is_channel
        try:
            yield
        finally:
            usage.num_channels -= is_channel
            usage.num_requests -= not is_channel

    def _get_usage(self, user: str) -> _Usage:
        burst = self._max_rate * _BURST_SECONDS
        usage = self._usages.setdefault(user, _Usage(burst))
        self._usages.move_to_end(user)
        now = time.monotonic()
        usage.allowance = min(burst, usage.allowance + (now - usage.counted_at) * self._max_rate)
        usage.counted_at = now
        while len(self._usages) > _MAX_USERS:
            self._usages.popitem(last=False)
        return usage


class SignInLimits:
    """How often an address or a name may fail to sign in before it has to wait."""

    def __init__(self, maximum: int, seconds: float = 300.0):
        self._maximum, self._seconds = maximum, seconds
        self._moments: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, name: str) -> None:
        """Refuse (429) an attempt under a name that has failed too often."""
        now = time.monotonic()
        recent = [moment for moment in self._moments.get(name, []) if now - moment < self._seconds]
        if len(recent) >= self._maximum:
            raise build_limit_error(self._seconds - (now - recent[0]))

    def record_failure(self, name: str) -> None:
        """Remember a failed attempt."""
        self._moments[name] = [*self._moments.get(name, []), time.monotonic()][-self._maximum :]
        self._moments.move_to_end(name)
        while len(self._moments) > _MAX_USERS:
            self._moments.popitem(last=False)


def build_limit_error(seconds: float) -> APIError:
    """Return the 429 that says when to come back."""
    wait = max(1, round(seconds + 0.5))
    return APIError("server.too_many_requests", headers={"retry-after": str(wait)}, seconds=wait)
