"""Languages by code and name, and the language of a text."""

import unicodedata

from genloom.collect.text.language import MIN_LETTERS, UNDETERMINED, detect_language
from genloom.errors import GenloomError, find_nearest, format_suggestion

# ISO 639-1 codes, the English name that a prompt says, and the name of the language in itself.
LANGUAGES = {
    "af": ("Afrikaans", "Afrikaans"),
    "ar": ("Arabic", "العربية"),
    "bg": ("Bulgarian", "български"),
    "bn": ("Bengali", "বাংলা"),
    "ca": ("Catalan", "català"),
    "cs": ("Czech", "čeština"),
    "cy": ("Welsh", "Cymraeg"),
    "da": ("Danish", "dansk"),
    "de": ("German", "Deutsch"),
    "el": ("Greek", "ελληνικά"),
    "en": ("English", "English"),
    "eo": ("Esperanto", "Esperanto"),
    "es": ("Spanish", "español"),
    "et": ("Estonian", "eesti"),
    "eu": ("Basque", "euskara"),
    "fa": ("Persian", "فارسی"),
    "fi": ("Finnish", "suomi"),
    "fr": ("French", "français"),
    "ga": ("Irish", "Gaeilge"),
    "gl": ("Galician", "galego"),
    "he": ("Hebrew", "עברית"),
    "hi": ("Hindi", "हिन्दी"),
    "hr": ("Croatian", "hrvatski"),
    "hu": ("Hungarian", "magyar"),
    "id": ("Indonesian", "Bahasa Indonesia"),
    "is": ("Icelandic", "íslenska"),
    "it": ("Italian", "italiano"),
    "ja": ("Japanese", "日本語"),
    "ko": ("Korean", "한국어"),
    "la": ("Latin", "Latina"),
    "lt": ("Lithuanian", "lietuvių"),
    "lv": ("Latvian", "latviešu"),
    "nl": ("Dutch", "Nederlands"),
    "no": ("Norwegian", "norsk"),
    "pl": ("Polish", "polski"),
    "pt": ("Portuguese", "português"),
    "ro": ("Romanian", "română"),
    "ru": ("Russian", "русский"),
    "sk": ("Slovak", "slovenčina"),
    "sl": ("Slovenian", "slovenščina"),
    "sr": ("Serbian", "српски"),
    "sv": ("Swedish", "svenska"),
    "sw": ("Swahili", "Kiswahili"),
    "ta": ("Tamil", "தமிழ்"),
    "th": ("Thai", "ไทย"),
    "tr": ("Turkish", "Türkçe"),
    "uk": ("Ukrainian", "українська"),
    "ur": ("Urdu", "اردو"),
    "vi": ("Vietnamese", "Tiếng Việt"),
    "zh": ("Chinese", "中文"),
}
MIN_CHECKED_LETTERS = 25  # of a translation whose language is checked; shorter ones are told apart too badly


def find_language(name: str) -> str:
    """Return the code of a language that is given by code or name: "fr", "French", "français" or "Francais".

    Raise GenloomError (tasks.unknown_language) for any other, with the nearest name.
    """
    if (code := _LOOKUP.get(_fold_name(name))) is not None:
        return code
    base, _, _ = name.replace("_", "-").partition("-")  # pt-BR
    if len(base) == 2 and _fold_name(base) in LANGUAGES:
        return _fold_name(base)
    known = [names[0] for names in LANGUAGES.values()]
    nearest = find_nearest(name.capitalize(), known)
    hint = format_suggestion(name.capitalize(), known) if nearest else f" Known: {', '.join(LANGUAGES)}."
    raise GenloomError("tasks.unknown_language", name=name, hint=hint)


def get_language_name(code: str) -> str:
    """Return the English name of a language."""
    return LANGUAGES[code][0]


def find_source_language(text: str, target: str) -> str:
    """Return the code of the language of a text; raise GenloomError if it is not known, or the target itself."""
    code = detect_language(text)
    if code == UNDETERMINED or code not in LANGUAGES:
        raise GenloomError("tasks.source_language_unclear", target=target)
    if code == target:
        raise GenloomError("tasks.source_is_target", language=get_language_name(code), target=target)
    return code


def is_in_language(text: str, code: str) -> bool | None:
    """Return whether a text is in a language; None if it is too short to tell, or in a language that is not known."""
    if sum(map(str.isalpha, text)) < max(MIN_LETTERS, MIN_CHECKED_LETTERS):
        return None
    detected = detect_language(text)
    return None if detected == UNDETERMINED else detected == code


def _fold_name(name: str) -> str:
    """Return a name without accents and capitals."""
    letters = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


_LOOKUP = {_fold_name(name): code for code, names in LANGUAGES.items() for name in (code, *names)}
