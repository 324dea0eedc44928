"""English words for numbers: cardinals, ordinals, years, decimals and digits."""

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_LARGEST = 10**15  # numbers of more digits are read digit by digit


def spell_cardinal(number: int) -> str:
    """Return the words of a whole number: 121 is "one hundred twenty-one"."""
    if number < 0:
        return f"minus {spell_cardinal(-number)}"
    if number >= _LARGEST:
        return spell_digits(str(number))
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" {spell_cardinal(rest)}" if rest else "")
    size, name = next(scale for scale in _SCALES if number >= scale[0])
    count, rest = divmod(number, size)
    return f"{spell_cardinal(count)} {name}" + (f" {spell_cardinal(rest)}" if rest else "")


def spell_ordinal(number: int) -> str:
    """Return the words of a place in an order: 21 is "twenty-first"."""
    words = spell_cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:cut] + (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def spell_year(year: int) -> str:
    """Return the words of a year: 1984 is "nineteen eighty-four", 1905 "nineteen oh five", 2004 "two thousand four"."""
    century, rest = divmod(year, 100)
    if not 1000 < year < 10_000 or 2000 <= year < 2010 or (rest == 0 and century % 10 == 0):
        return spell_cardinal(year)
    if rest == 0:
        return f"{spell_cardinal(century)} hundred"
    return f"{spell_cardinal(century)} {f'oh {_ONES[rest]}' if rest < 10 else spell_cardinal(rest)}"


def spell_decade(year: int) -> str:
    """Return the words of the decade that a year begins: 1980 is "nineteen eighties", 1900 "nineteen hundreds"."""
    words = spell_year(year)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def spell_digits(digits: str) -> str:
    """Return the digits one by one, with a comma between groups: "555-0134" is read as a telephone number."""
    groups = "".join(c if c.isdigit() else " " for c in digits).split()
    return ", ".join(" ".join("oh" if c == "0" and len(groups) > 1 else _ONES[int(c)] for c in g) for g in groups)


def spell_number(text: str) -> str:
    """Return the words of a number as it is written: "1,234", "-3.14" or "007"."""
    digits = text.replace(",", "").lstrip("+-−")
    sign = "minus " if text[:1] in "-−" else "plus " if text.startswith("+") else ""
    whole, point, decimals = digits.partition(".")
    if len(whole) > 1 and whole.startswith("0") and not point:
        return sign + spell_digits(whole)
    words = spell_cardinal(int(whole or "0"))
    return f"{sign}{words} point {spell_digits(decimals)}" if decimals else sign + words
