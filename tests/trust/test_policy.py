"""Content rules: what the law bans is refused, harmless sentences pass, and a workspace adds rules of its own."""

import tomllib
from pathlib import Path

import pytest

from genloom.errors import GenloomError
from genloom.trust.policy import POLICY_FILE, check_text, load_policy, write_template

SENTENCES = tomllib.loads(Path(__file__).with_name("content_policy.toml").read_text(encoding="utf-8"))


def write_policy(root: Path, text: str) -> None:
    (root / POLICY_FILE).write_text(text, encoding="utf-8")


def find_rules(root: Path, text: str, target: str = "prompt") -> list[str]:
    return [each.rule for each in check_text(load_policy(root), text, "output" if target == "output" else "prompt")]


def fails_with(root: Path, code: str) -> bool:
    with pytest.raises(GenloomError) as caught:
        load_policy(root)
    return caught.value.code == code


def test_the_sentences_are_enough() -> None:
    assert len(set(SENTENCES["harmless"])) >= 60
    assert len(set(SENTENCES["refused"])) >= 40


@pytest.mark.parametrize("text", SENTENCES["harmless"])
def test_harmless_sentences_pass(tmp_path: Path, text: str) -> None:
    assert check_text(load_policy(tmp_path), text) == []


@pytest.mark.parametrize("target", ["prompt", "output"])
@pytest.mark.parametrize("text", SENTENCES["refused"])
def test_what_the_law_bans_is_refused(tmp_path: Path, text: str, target: str) -> None:
    decisions = check_text(load_policy(tmp_path), text, "output" if target == "output" else "prompt")
    assert decisions[0].action == "refuse"
    assert decisions[0].reason.startswith("sexual content with ")


def test_words_far_apart_are_not_a_combination(tmp_path: Path) -> None:
    text = "An erotic novel lay in the shop. " + "The owner swept the floor and hummed. " * 8 + "A child came in."
    assert find_rules(tmp_path, text) == []


@pytest.mark.parametrize(
    "disguise",
    [
        "ER0TIC ch1ld",
        "e\u200brotic child",
        "ÉROTIC child",
        "e r o t i c child",
        "\u0435r\u043eti\u0441 \u0441hild",  # Cyrillic letters
        "er\u03bftic ch\u03b9ld",  # Greek letters
        "\u1d07\u0280\u1d0f\u1d1b\u026a\u1d04 child",  # small capitals
        "erot\u0131c ch\u0131ld",
        "er\u00f8tic child",
        "e\ufe0frotic chi\ufe0fld",  # variation selectors
        "e\u3164rotic chi\u2800ld",  # fillers, which are not drawn
        "e\0rotic child",
        "eeerotic chiiiild",
        "e_r_o_t_i_c child",
        "erotic \U0001f467",
        "nude school girl",
        "nude school-boy",
    ],
)
def test_disguised_words_are_read(tmp_path: Path, disguise: str) -> None:
    assert find_rules(tmp_path, disguise) != []


def test_what_follows_a_long_text_is_read(tmp_path: Path) -> None:
    assert find_rules(tmp_path, "word " * 100_000 + "an erotic story about a child") != []


@pytest.mark.parametrize(("age", "is_refused"), [(6, True), (17, True), (18, False), (45, False)])
@pytest.mark.parametrize(
    "words",
    [
        *("a {}-year-old, nude", "nude, aged {}", "nude {}yo", "{} Jahre alt, nackt"),
        *("nude, age {}", "nude girl ({})", "a naked girl of {}", "nude, at the age of {}", "nackt, im Alter von {}"),
    ],
)
def test_ages_below_18_are_of_minors(tmp_path: Path, words: str, age: int, is_refused: bool) -> None:
    assert bool(find_rules(tmp_path, words.format(age))) == is_refused


def test_a_workspace_adds_rules_and_lists(tmp_path: Path) -> None:
    write_policy(
        tmp_path,
        """
        [settings]
        log_text = true
        [rules.secret]
        action = "warn"
        reason = "our secret"
        all = ["names", "price"]
        none = ["published"]
        window = 5
        on = ["output"]
        [lists]
        names = ["project nightingale", "larks*"]
        """,
    )
    assert load_policy(tmp_path).settings.log_text
    assert find_rules(tmp_path, "The price of Project Nightingale", "output") == ["secret"]
    assert find_rules(tmp_path, "The price of larkspur", "output") == ["secret"]
    assert find_rules(tmp_path, "The published price of larkspur", "output") == []
    assert find_rules(tmp_path, "The price of a nightingale", "output") == []
    assert find_rules(tmp_path, "The price of Project Nightingale", "prompt") == []
    assert find_rules(tmp_path, "The price is high, as everybody here knows, of larkspur", "output") == []
    assert "sexual-minors" in load_policy(tmp_path).rules


def test_a_changed_file_holds_at_once(tmp_path: Path) -> None:
    assert find_rules(tmp_path, "larkspur") == []
    write_policy(tmp_path, '[rules.plant]\nall = ["larkspur"]\naction = "log"')
    assert find_rules(tmp_path, "larkspur") == ["plant"]
    write_policy(tmp_path, '[rules.plants]\nall = ["larkspur"]\naction = "refuse"')
    assert find_rules(tmp_path, "larkspur") == ["plants"]


def test_the_strictest_rule_comes_first(tmp_path: Path) -> None:
    write_policy(tmp_path, '[rules.a]\nall=["lark"]\naction="log"\n[rules.b]\nall=["lark"]\naction="refuse"')
    assert find_rules(tmp_path, "A lark.") == ["b", "a"]


def test_only_the_rule_on_persons_can_be_replaced(tmp_path: Path) -> None:
    write_policy(tmp_path, '[rules.sexual-persons]\nall=["exposed", "persons"]\naction="log"\nreason="persons"')
    [decision] = check_text(load_policy(tmp_path), "a nude picture of Anna Berger")
    assert decision.action == "log"
    write_policy(tmp_path, '[rules.sexual-minors]\nall=["lark"]\naction="log"')
    assert fails_with(tmp_path, "trust.fixed_rule")


@pytest.mark.parametrize(
    "text",
    [
        "[rules.a",
        "[rule.a]\nall = ['x']",
        "[rules.a]\naction = 'refuse'",
        "[rules.a]\nall = ['x']\naction = 'forbid'",
        "[rules.a]\nall = ['x']\nwindow = -1",
        "[rules.a]\nall = ['x']\nwords = 3",
        "[rules.a]\nall = ['...']",
        "[rules.a]\nall = ['x']\nis_fixed = true",
        "[lists]\nminors = ['x']",
        "[lists]\nmine = [3]",
        "lists = 3",
        "\udcff",
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / POLICY_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert fails_with(tmp_path, "trust.bad_policy")


def test_the_template_is_a_valid_file_and_replaces_nothing(tmp_path: Path) -> None:
    path = write_template(tmp_path)
    assert find_rules(tmp_path, "Tell me of Project Nightingale") == ["our-project"]
    content = path.read_bytes()
    with pytest.raises(GenloomError) as caught:
        write_template(tmp_path)
    assert caught.value.code == "trust.policy_exists"
    assert path.read_bytes() == content
