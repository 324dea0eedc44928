"""Right words in a wrong relation: opposites, denials, units, numbers of others, swapped and exchanged actors."""

import pytest

from genloom.assistant.knowledge.contradiction import find_contradiction, split_clauses
from genloom.assistant.knowledge.support import find_support
from genloom.text_encoders.minilm.sentences import embed_texts

KETTLE = (
    "The warranty lasts 24 months. It covers faults of material. It does not cover the filter, nor damage by a fall."
)
POSTAGE = "You pay the postage to us; we pay the postage back. A repair takes about ten working days."
SHOP = "Shipping is free above 50 euros; below that it costs 4.90 euros. You may return goods within 14 days."
BAKERY = "Anna Berg founded the bakery in 1998 and sold it to Tom Lind in 2011. Lind moved it from Kiel to Bonn."
LEASE = "The tenant pays the rent. The landlord heats the house from October to April and repairs the boiler."
PUMPS = "Pump A moves 40 litres a minute and needs 900 watts. Pump B moves 25 litres a minute and needs 600 watts."


@pytest.mark.parametrize(
    ("sentence", "source", "reason"),
    [
        ("You pay the postage back.", POSTAGE, "relation"),
        ("The warranty lasts 24 days.", KETTLE, "relation"),
        ("The warranty does not cover faults of material.", KETTLE, "denial"),
        ("It covers damage by a fall.", KETTLE, "denial"),
        ("It covers the filter.", KETTLE, "denial"),
        ("Faults of material are excluded.", "Faults of material are included.", "denial"),
        ("Shipping is free below 50 euros.", SHOP, "denial"),
        ("Shipping is free above 4.90 euros.", SHOP, "relation"),
        ("You must return goods within 14 days.", SHOP, "denial"),
        ("Only you may return goods within 14 days.", SHOP, "strength"),
        ("Anna Berg founded the bakery in 2011.", BAKERY, "relation"),
        ("Tom Lind sold the bakery to Anna Berg in 2011.", BAKERY, "relation"),
        ("Tom Lind founded the bakery in 1998.", BAKERY, "relation"),
        ("Lind moved the bakery from Bonn to Kiel.", BAKERY, "relation"),
        ("The tenant repairs the boiler.", LEASE, "relation"),
        ("The landlord pays the rent.", LEASE, "relation"),
        ("Pump A needs 600 watts.", PUMPS, "relation"),
        ("Pump B moves 40 litres a minute.", PUMPS, "relation"),
        ("Pump A moves 40 litres an hour.", PUMPS, "relation"),
        ("The library is open on Mondays.", "The library is closed on Mondays.", "denial"),
        ("Dogs are allowed in the shop.", "Dogs are not allowed in the shop.", "denial"),
        (
            "Repairs are paid by the landlord.",
            "The landlord heats. Repairs are paid by the tenant.",
            "relation",
        ),
        ("It costs 30 euros.", "It costs 20 euros.", "numbers"),
        ("Repairs are made by Schmidt.", "Repairs are made by Miller.", "names"),
    ],
)
def test_right_words_in_a_wrong_relation_are_found(sentence: str, source: str, reason: str) -> None:
    assert find_contradiction(sentence, source) == reason


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("We pay the postage back.", POSTAGE),
        ("A repair takes about 10 working days.", POSTAGE),
        ("The filter is not covered.", KETTLE),
        ("Damage by a fall is not covered by the warranty.", KETTLE),
        ("Faults of material are covered by the warranty.", KETTLE),
        ("Below 50 euros shipping costs 4.90 euros.", SHOP),
        ("Goods may be returned within 14 days.", SHOP),
        ("The bakery was founded by Anna Berg.", BAKERY),
        ("Berg sold the bakery to Tom Lind in 2011.", BAKERY),
        ("The landlord repairs the boiler.", LEASE),
        ("The rent is paid by the tenant.", LEASE),
        ("Pump A needs 900 watts.", PUMPS),
        ("The library is not open on Mondays.", "The library is closed on Mondays."),
        ("Children must not take it.", "Children may not take it."),
        ("Neither pump may run dry.", "Neither pump may run dry, nor stand in water."),
        ("Paris is the capital of France.", "The capital of France is Paris."),
        ("Eva Holm gives lessons.", "The trainer, Eva Holm, gives lessons; her brother Nils repairs the boats."),
    ],
)
def test_other_words_for_the_same_are_no_contradiction(sentence: str, source: str) -> None:
    assert find_contradiction(sentence, source) == ""


def test_what_stands_there_word_for_word_never_contradicts() -> None:
    for source in (KETTLE, POSTAGE, SHOP, BAKERY, LEASE, PUMPS):
        for sentence in source.split(". "):
            assert find_contradiction(sentence, source) == ""


def test_empty_texts_contradict_nothing() -> None:
    assert find_contradiction("", "") == find_contradiction("It is so.", "") == ""
    assert split_clauses("") == ()


def test_a_sentence_of_an_answer_is_judged_by_the_rules() -> None:
    wrong, right = find_support("You pay the postage back. We pay the postage back.", [POSTAGE], embed_texts)
    assert (wrong.is_supported, wrong.reason) == (False, "relation")
    assert right.is_supported
