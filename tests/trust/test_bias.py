"""Bias of text: balanced pairs, gaps that only stereotypes cause, regard by words, and what a report says of itself."""

import json
import tomllib
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import genloom.trust
from genloom.trust.bias import (
    CATEGORIES,
    OVERALL,
    BiasReport,
    Language,
    build_continuation_prompts,
    build_items,
    compare_gaps,
    find_report,
    measure_gaps,
    measure_regard,
    score_regard,
    summarise_gaps,
)

DATA = Path(genloom.trust.__file__).parent
LANGUAGES: tuple[Language, ...] = ("en", "de")


def read_words(sentences: Sequence[str]) -> list[float]:
    """A model of single words: it cannot know who is what."""
    return [sum(zlib.crc32(word.encode()) % 97 / 10 for word in text.lower().split()) for text in sentences]


def build_biased_model(language: Language, category: str, nats: float) -> Callable[[Sequence[str]], list[float]]:
    """Return a model that finds the stereotypes of one category more likely."""
    fitting = {text for item in build_items(language, category) for text in item.quadruple.stereotypes}
    return lambda sentences: [
        plain - nats * (text in fitting) for plain, text in zip(read_words(sentences), sentences, strict=True)
    ]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("language", "num_templates"), [("en", 30), ("de", 8)])
def test_categories_are_balanced(language: Language, num_templates: int, category: str) -> None:
    items = build_items(language, category)
    templates = Counter(item.template for item in items)
    assert len(templates) >= num_templates
    assert set(templates.values()) == {4}
    for item in items:
        assert len(set(item.quadruple.sentences)) == 4
        assert all(text[0].isupper() and "{" not in text for text in item.quadruple.sentences)
        halves = [
            sorted(" ".join(half).lower().split())
            for half in (item.quadruple.stereotypes, item.quadruple.anti_stereotypes)
        ]
        assert halves[0] == halves[1], "both halves have the same words"
    assert len({item.quadruple for item in items}) == len(items)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_group_has_each_attribute_equally_often(language: Language, category: str) -> None:
    tables = tomllib.loads((DATA / f"bias.{language}.toml").read_text(encoding="utf-8"))
    groups, attributes, templates = tables[category]["groups"], tables[category]["attributes"], tables["templates"]
    counts = Counter(
        (group[0], attribute[0])
        for item in build_items(language, category)
        for group in groups
        for attribute in attributes
        if item.quadruple.stereotypes[0].casefold()
        == templates[item.template].format(group=group[0], attribute=attribute[0]).casefold()
    )
    expected = len(templates) // len(attributes)
    assert counts == {(group[0], attribute[0]): expected for group in groups for attribute in attributes}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_of_single_words_has_no_gap(language: Language) -> None:
    gaps = measure_gaps(language, read_words)
    assert set(gaps) == set(CATEGORIES)
    for values in gaps.values():
        assert values == pytest.approx([0] * len(values), abs=1e-9)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bias_of_one_category_shows_in_it_and_overall(language: Language) -> None:
    found = summarise_gaps(language, measure_gaps(language, build_biased_model(language, "age", 1.5)))
    assert found["age"].gap.low > 0
    assert found["age"].share.mean == 1
    assert found["gender"].gap.mean == pytest.approx(0, abs=1e-9)
    assert 0 < found[OVERALL].gap.mean < found["age"].gap.mean
    assert found[OVERALL].num_sentences == sum(found[category].num_sentences for category in CATEGORIES)


def test_a_gap_is_in_bits_a_word() -> None:
    items = build_items("en", "age")
    gaps = measure_gaps("en", build_biased_model("en", "age", 0.6931471805599453))["age"]
    assert gaps == pytest.approx([1 / item.num_words for item in items])


def test_two_versions_are_compared_pair_by_pair() -> None:
    more, less = (measure_gaps("en", build_biased_model("en", "origin", nats)) for nats in (2.0, 0.5))
    changes = compare_gaps("en", more, less)
    assert changes["origin"].low > 0
    assert changes["religion"].mean == pytest.approx(0, abs=1e-9)
    assert compare_gaps("en", less, more)["origin"].mean == pytest.approx(-changes["origin"].mean)


@pytest.mark.parametrize(
    ("text", "language", "regard"),
    [
        ("She is honest and kind.", "en", 1),
        ("He was lazy, and a thief.", "en", -1),
        ("He is honest but rude.", "en", 0),
        ("The bus stops here.", "en", 0),
        ("She isn't lazy.", "en", 1),
        ("He was never honest.", "en", -1),
        ("Sie ist klug und ehrlich.", "de", 1),
        ("Er ist nicht freundlich.", "de", -1),
    ],
)
def test_regard_is_by_words_and_negations(text: str, language: Language, regard: float) -> None:
    assert score_regard(text, language) == regard


def test_regard_compares_the_groups_of_a_category() -> None:
    prompts = [prompt for category in CATEGORIES for prompt in build_continuation_prompts("en", category)]
    texts = [
        (("is lazy", "is here"), ("is honest", "is honest"))
        if prompt.category == "age"
        else (("is here",), ("is here",))
        for prompt in prompts
    ]
    found = measure_regard("en", prompts, texts)
    assert (found["age"].first, found["age"].second) == (-0.5, 1)
    assert found["age"].difference.mean == -1.5
    assert found["age"].difference.high < 0
    assert found["gender"].difference.mean == 0
    assert found["age"].num_texts == 4 * sum(prompt.category == "age" for prompt in prompts)


def test_a_report_is_found_by_the_card_of_its_model_only(tmp_path: Path) -> None:
    likelihood = summarise_gaps("en", measure_gaps("en", read_words))
    report = BiasReport("notes/2", "abc", "text", "en", likelihood)
    report.save(tmp_path / "reports" / "notes-2")
    found = find_report(tmp_path, "notes/2")
    assert found is not None
    assert found == json.loads(json.dumps(report.to_json()))
    assert found["limits"]
    assert find_report(tmp_path, "notes/2", "abc") == found
    assert find_report(tmp_path, "notes/2", "abd") is None
    assert find_report(tmp_path, "notes/3") is None
    assert all(any(category in line for line in report.lines) for category in CATEGORIES)


def test_an_unmeasured_report_says_so() -> None:
    report = BiasReport("icons/1", "abc", "image", "en", reasons=("Bias is not measured for this medium (image).",))
    assert not report.is_measured
    assert report.to_json()["likelihood"] == {}
    assert list(report.limits) == list(report.reasons)
