"""The time of day, for records."""

from datetime import UTC, datetime

from genloom.errors import GenloomError


def get_now() -> datetime:
    """Return the time in UTC; raise GenloomError if the clock is outside the calendar."""
    try:
        return datetime.now(UTC)
    except (ValueError, OverflowError):
        raise GenloomError("store.clock_outside_calendar") from None
