"""Check how much of a text is contained in a source, to follow it or not to copy it."""

from collections import Counter
from dataclasses import dataclass

from genloom.errors import GenloomError
from genloom.rate.checks import CheckResult

media = ("text",)


@dataclass(frozen=True)
class Config:
    source: str
    min_share: float = 0.0  # minimum share of the text that is in the source
    max_share: float = 1.0  # maximum share
    ngram_chars: int = 5  # characters per n-gram

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= self.max_share <= 1 or self.ngram_chars < 1:
            raise GenloomError(
                "rate.bad_similarity_range",
                min_share=self.min_share,
                max_share=self.max_share,
                ngram_chars=self.ngram_chars,
            )


def check(text: str, config: Config) -> CheckResult:
    share = compute_containment(text, config.source, config.ngram_chars)
    message = f"{share:.0%} of it is in the source"
    if share < config.min_share:
        return CheckResult(share / config.min_share, False, f"{message}, less than {config.min_share:.0%}")
    if share > config.max_share:
        return CheckResult((1 - share) / (1 - config.max_share), False, f"{message}, more than {config.max_share:.0%}")
    return CheckResult(1.0, True, message)


def compute_containment(text: str, source: str, size: int) -> float:
    """Return the share of a text's n-grams that the source has too, as multisets; case and spacing are ignored.

    The containment of Broder (1997).
    """
    text_ngrams, source_ngrams = count_ngrams(text, size), count_ngrams(source, size)
    return (text_ngrams & source_ngrams).total() / max(text_ngrams.total(), 1)


def count_ngrams(text: str, size: int) -> Counter[str]:
    folded_text = " ".join(text.casefold().split())
    if len(folded_text) <= size:
        return Counter([folded_text] if folded_text else [])
    return Counter(folded_text[n : n + size] for n in range(len(folded_text) - size + 1))
