"""Glossaries: terms are found as words, contradictions are refused, and a grammar holds the terms."""

from pathlib import Path

import pytest

from genloom.assistant.tasks.glossary import build_glossary, build_term_grammar, find_missing_terms
from genloom.assistant.tasks.tables import read_glossary_pairs
from genloom.errors import GenloomError
from genloom.generate.grammar import check_grammar


def test_terms_are_words_of_the_text_whatever_their_capitals() -> None:
    glossary = build_glossary([("warranty", "garantie"), ("order", "commande"), ("purchase order", "bon de commande")])
    assert glossary.find_terms("The Purchase  order has a WARRANTY.") == {
        "purchase order": "bon de commande",
        "warranty": "garantie",
    }
    assert glossary.find_terms("In disorder, without warranties.") == {}


def test_a_plural_keeps_a_term_and_another_word_does_not() -> None:
    terms = {"warranty": "garantie", "order": "commande"}
    assert find_missing_terms(terms, "Les Garanties et la commande.") == {}
    assert find_missing_terms(terms, "Le commandement garantit.") == terms


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("bank", "banque"), ("Bank", "rive")], "tasks.glossary_contradiction"),
        ([("bank", "")], "tasks.bad_glossary_row"),
        ([("bank", "b" * 500)], "tasks.bad_glossary_row"),
        ([], "tasks.empty_glossary"),
        ([("", "")], "tasks.empty_glossary"),
    ],
)
def test_glossaries_with_faults_are_refused(pairs: list[tuple[str, str]], code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        build_glossary(pairs)
    assert caught.value.code == code


def test_the_same_pair_twice_is_no_contradiction() -> None:
    assert build_glossary([("bank", "banque"), ("Bank", "banque")]).terms == {"bank": "banque"}


@pytest.mark.parametrize(
    ("content", "pairs"),
    [
        ("en,fr\nbank,banque\n", [("bank", "banque")]),
        ("fr,en\nbanque,bank\n", [("bank", "banque")]),
        ("source;target\nbank;banque\n", [("bank", "banque")]),
        ("note,target,source\nx,banque,bank\n", [("bank", "banque")]),
    ],
)
def test_columns_are_named_by_languages_or_sides(tmp_path: Path, content: str, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path / "terms.csv"
    path.write_text(content)
    assert read_glossary_pairs(path, "en", "fr") == pairs


def test_a_file_without_names_of_columns_gives_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("bank,banque\norder,commande\n")
    assert {("bank", "banque"), ("order", "commande")} <= set(read_glossary_pairs(path, "en", "fr"))


def test_a_table_of_one_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("term\nbank\norder\n")
    with pytest.raises(GenloomError) as caught:
        read_glossary_pairs(path, "en", "fr")
    assert caught.value.code == "tasks.glossary_columns"


@pytest.mark.parametrize("terms", [["garantie"], ["l'article 5", "prix (net)"], ["a/b", "c.d", "e+f"]])
def test_the_grammar_of_terms_is_valid(terms: list[str]) -> None:
    pytest.importorskip("llguidance")
    check_grammar(build_term_grammar(terms, 100))
