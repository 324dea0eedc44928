"""The options of texts."""

from dataclasses import dataclass

from genloom.collect.options import Options
from genloom.media.text.personal_data import SCRUB_KINDS
from genloom.settings import option


@dataclass(frozen=True)
class Config(Options):
    """The options of texts; the similarity of two is the Jaccard similarity of their word 5-grams."""

    scrub: tuple[str, ...] = option(
        (),
        "Personal data to remove: email, phone, card, iban, ip, name (best effort). Repeatable.",
        is_valid=lambda kinds: all(kind in SCRUB_KINDS for kind in kinds),
        requirement=f"of {', '.join(SCRUB_KINDS)}",
    )
    min_quality: float = option(0.0, "Minimum quality score of a document.", minimum=0, maximum=1)
    languages: tuple[str, ...] = option(
        (),
        "Language codes to keep, e.g. en, de. Repeatable. [default: all]",
        is_valid=lambda codes: all(2 <= len(code) <= 3 and code.islower() for code in codes),
        requirement="ISO 639-1 codes such as en, de or fr",
    )
    chunk_chars: int = option(
        0,
        "Maximum length of a chunk of a long document. [default: by the size of the collection]",
        is_valid=lambda value: value == 0 or 256 <= value <= 1_000_000_000,
        requirement="0 (automatic) or from 256 to 1,000,000,000",
    )
