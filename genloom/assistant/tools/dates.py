"""Dates: today, the days between two dates, a date some days, weeks, months or years later, and weekdays."""

import calendar
from datetime import date, datetime, timedelta
from typing import Literal

from genloom.errors import GenloomError

_MAX_STEPS = 4_000_000
_UNITS = Literal["days", "weeks", "months", "years", "workdays"]


def tell_today() -> str:
    """Tell today's date, weekday and time."""
    return datetime.now().astimezone().strftime("%Y-%m-%d, %A, %H:%M %Z")


def add_to_date(date: str, amount: int, unit: _UNITS = "days") -> str:
    """Tell the date that is some days, weeks, months, years or workdays after a date, or before it.

    Args:
        date: the date as YYYY-MM-DD, or today
        amount: how many; negative counts back
        unit: days, weeks, months, years or workdays (Monday to Friday)
    """
    begin = parse_date(date)
    if abs(amount) > _MAX_STEPS:
        raise GenloomError("tools.bad_date", value=f"{amount} {unit}", reason="it is too far away")
    try:
        return describe_date(_add_units(begin, amount, unit))
    except (OverflowError, ValueError):
        raise GenloomError("tools.bad_date", value=f"{date} {amount:+} {unit}", reason="years are 1 to 9999") from None


def days_between(begin: str, end: str) -> str:
    """Count the days from one date to another, also in weeks and workdays.

    Args:
        begin: the first date as YYYY-MM-DD, or today
        end: the last date as YYYY-MM-DD, or today
    """
    first, last = parse_date(begin), parse_date(end)
    days = (last - first).days
    return f"{days} days ({days / 7:.1f} weeks, {_count_workdays(first, last)} workdays)"


def weekday_of(date: str) -> str:
    """Tell the weekday, the calendar week and the day of the year of a date.

    Args:
        date: the date as YYYY-MM-DD, or today
    """
    found = parse_date(date)
    week = found.isocalendar()
    leap = "a leap year" if calendar.isleap(found.year) else "no leap year"
    return f"{describe_date(found)}, week {week.week} of {week.year}, day {found.timetuple().tm_yday}, {leap}"


def parse_date(text: str) -> date:
    """Return the date of "YYYY-MM-DD", "D.M.YYYY", "D Month YYYY", "Month D, YYYY" or "today"."""
    clean = " ".join(text.split()).strip(".")
    relative = {"today": 0, "now": 0, "tomorrow": 1, "yesterday": -1}
    if clean.lower() in relative:
        return date.today() + timedelta(relative[clean.lower()])
    for pattern in ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d %b %Y", "%b %d, %Y"):
        try:
            return datetime.strptime(clean[:40], pattern).date()
        except ValueError:
            continue
    raise GenloomError("tools.bad_date", value=text[:60], reason="write it as YYYY-MM-DD")


def describe_date(found: date) -> str:
    return f"{found.isoformat()}, {calendar.day_name[found.weekday()]}"


def _add_units(begin: date, amount: int, unit: str) -> date:
    match unit:
        case "weeks":
            return begin + timedelta(weeks=amount)
        case "months" | "years":
            months = begin.year * 12 + begin.month - 1 + amount * (12 if unit == "years" else 1)
            year, month = divmod(months, 12)
            return date(year, month + 1, min(begin.day, calendar.monthrange(year, month + 1)[1]))
        case "workdays":
            return _add_workdays(begin, amount)
    return begin + timedelta(days=amount)


def _add_workdays(begin: date, amount: int) -> date:
    step = 1 if amount >= 0 else -1
    weeks, rest = divmod(abs(amount), 5)
    found = begin + timedelta(weeks=step * weeks)
    while found.weekday() > 4:
        found -= timedelta(step)
    while rest:
        found += timedelta(step)
        rest -= found.weekday() < 5
    return found


def _count_workdays(first: date, last: date) -> int:
    """Return the workdays after the first date up to the last; negative if the last is before."""
    if last < first:
        return -_count_workdays(last, first)
    weeks, rest = divmod((last - first).days, 7)
    return weeks * 5 + sum((first + timedelta(n)).weekday() < 5 for n in range(1, rest + 1))
