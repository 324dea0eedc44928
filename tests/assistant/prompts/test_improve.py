"""Improvement: what helps is found and proved, noise is not, held-out cases stay out, and the budget holds."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from genloom.assistant.prompts import variants
from genloom.assistant.prompts.cases import Case, CaseSplit, build_answer_checks, parse_case, read_cases, split_cases
from genloom.assistant.prompts.checks import AnswerChecks
from genloom.assistant.prompts.improve import Improvement, ImproveOptions, improve_prompt
from genloom.assistant.prompts.prompt import Prompt, Variable
from genloom.assistant.prompts.receipt import ImproveReceipt, count_attempts
from genloom.assistant.prompts.requests import build_messages, join_values
from genloom.errors import GenloomError
from genloom.rate.gate import compute_alpha_left
from genloom.types import Message

PROMPT = Prompt(prompt="Is the number odd or even?\n\n{text}", variables={"text": Variable()}, name="parity", version=1)
ANSWERS = ("even", "odd")


def make_cases(count: int = 80) -> list[Case]:
    return [
        Case({"text": str(n)}, AnswerChecks(equals=ANSWERS[n % 2]), ANSWERS[n % 2]) for n in range(1000, 1000 + count)
    ]


class Model:
    """A model that answers by a rule of the conversation, and counts its answers."""

    def __init__(self, is_right: Any, wording: str = ""):
        self.is_right, self.wording, self.count = is_right, wording, 0
        self.questions: list[str] = []

    def answer(
        self, conversations: Sequence[Sequence[Message]], settings: Mapping[str, Any], stop: Sequence[str]
    ) -> list[str]:
        self.count += len(conversations)
        return [self.answer_one(messages, stop) for messages in conversations]

    def answer_one(self, messages: Sequence[Message], stop: Sequence[str]) -> str:
        question = messages[-1].content
        if "Rewrite this" in question or "Which instruction" in question:
            return self.wording
        self.questions.append(question)
        number = int(question.split()[-1].rstrip("."))
        return ANSWERS[number % 2] if self.is_right(messages, number, stop) else "I do not know"


def search(
    model: Model, cases: Sequence[Case] = (), budget: int = 600, num_earlier: int = 0, **more: Any
) -> Improvement:
    split = split_cases(cases or make_cases(), 0.5, 0)
    return improve_prompt(
        more.get("prompt", PROMPT), split, ImproveOptions(budget), model.answer, build_messages, num_earlier
    )


def has_examples(messages: Sequence[Message], number: int, stop: Sequence[str]) -> bool:
    return len(messages) > 4


def test_examples_that_help_are_found_and_proved() -> None:
    found = search(Model(has_examples))
    assert found.is_proved
    assert found.proof is not None
    assert (sum(found.proof.current), sum(found.proof.challenger)) == (0, 40)
    assert (found.proof.num_gained, found.proof.num_lost) == (40, 0)
    assert any("example" in edit.name for edit in found.best.edits)
    assert found.best.prompt.settings["temperature"] == 0.0


@pytest.mark.parametrize(
    ("word", "kind"), [("one of these words", "sentence"), ("Tell me whether", "wording"), ("Answer", "sentence")]
)
def test_an_instruction_that_helps_is_found(word: str, kind: str) -> None:
    def is_right(messages: Sequence[Message], number: int, stop: Sequence[str]) -> bool:
        return any(word in message.content for message in messages)

    found = search(Model(is_right, wording="Tell me whether the number is odd or even."))
    assert found.is_proved
    assert kind in {edit.kind for edit in found.best.edits}


def test_two_edits_that_help_together_are_combined() -> None:
    def is_right(messages: Sequence[Message], number: int, stop: Sequence[str]) -> bool:
        return (len(messages) > 4 and number % 3 > 0) or (stop == ("\n",) and number % 3 == 0)

    found = search(Model(is_right))
    assert found.is_proved
    assert {"examples", "stop"} <= {edit.kind for edit in found.best.edits}


def test_without_a_gain_the_prompt_stays() -> None:
    found = search(Model(lambda messages, number, stop: number % 4 == 0))
    assert found.best.edits == ()
    assert found.proof is None
    assert not found.is_proved
    receipt = ImproveReceipt("parity/1", "", "m/1", "d", "exact", 0, found)
    assert "parity/1 stays" in str(receipt)


def test_noise_is_not_proved_more_often_than_the_gate_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    def rank(query: str, texts: Sequence[str], by_meaning: bool = False) -> list[int]:
        return list(range(len(texts)))

    monkeypatch.setattr("genloom.assistant.prompts.requests.rank_texts", rank)
    proofs = 0
    for seed in range(40):
        rng = random.Random(seed)
        proofs += search(Model(lambda messages, number, stop, rng=rng: rng.random() < 0.5), budget=500).is_proved
    assert proofs <= 4, "each search errs with at most one in forty"


def test_held_out_cases_are_asked_only_in_the_proof_and_never_shown() -> None:
    model = Model(has_examples)
    cases = make_cases()
    split = split_cases(cases, 0.5, 0)
    held_out = {str(case.given["text"]) for case in split.held_out}
    found = improve_prompt(PROMPT, split, ImproveOptions(600), model.answer, build_messages)
    asked = [question.split()[-1] for question in model.questions]
    assert all(asked.count(text) == 2 for text in held_out), "by the present prompt and by the best"
    assert not held_out & {str(example.given["text"]) for example in found.best.prompt.examples}


@pytest.mark.parametrize("budget", [190, 250, 400, 2000])
def test_the_budget_holds(budget: int) -> None:
    model = Model(has_examples)
    found = search(model, budget=budget)
    assert model.count == found.num_answers <= budget


def test_a_budget_or_cases_that_are_too_few_are_refused_before_any_answer() -> None:
    model = Model(has_examples)
    for cases, budget, code in [
        (make_cases(), 100, "assistant.budget_too_small"),
        (make_cases(12), 500, "assistant.too_few_cases"),
    ]:
        with pytest.raises(GenloomError) as caught:
            search(model, cases, budget)
        assert caught.value.code == code
    assert model.count == 0


def test_a_second_attempt_on_the_same_cases_needs_more_evidence(tmp_path: Path) -> None:
    def helps_a_little(messages: Sequence[Message], number: int, stop: Sequence[str]) -> bool:
        return len(messages) > 4 and number % 5 == 0

    first = search(Model(helps_a_little))
    assert first.proof is not None
    assert first.proof.measure is not None
    assert first.is_proved
    later = search(Model(helps_a_little), num_earlier=8)
    assert later.proof is not None
    assert later.proof.measure is not None
    assert later.proof.measure.alpha == compute_alpha_left(8)
    assert not later.is_proved
    receipt = ImproveReceipt("parity/1", "parity/2", "m/1", "d", "exact", 0, first)
    receipt.write(tmp_path, "parity-1")
    (tmp_path / "reports/prompts/damaged.json").write_text("{")
    assert count_attempts(tmp_path, PROMPT, first.split.held_out_digest) == 1
    assert count_attempts(tmp_path, PROMPT, "other") == 0


def test_the_receipt_tells_what_was_tried_and_what_changed(tmp_path: Path) -> None:
    found = search(Model(has_examples))
    receipt = ImproveReceipt("parity/1", "parity/2", "m/1", "d", "exact", 0, found)
    text = str(receipt)
    assert "Proved better: 40 gained, 0 lost" in text
    assert "40 of 40 (100 %)" in text
    record = json.loads(receipt.write(tmp_path, "x").read_text(encoding="utf-8"))
    assert record["challenger"]["right"] == 40
    assert record["challenger"]["low"] < 1
    assert len(record["trials"]) == len(found.trials)
    assert len(record["held_out_answers"]) == 40
    assert any("examples" in line for line in record["changes"])


def test_checks_without_answers_get_examples_from_the_models_own_right_answers() -> None:
    def is_right(messages: Sequence[Message], number: int, stop: Sequence[str]) -> bool:
        return len(messages) > 3 or number % 3 == 0

    cases = [Case({"text": str(n)}, AnswerChecks(choices=ANSWERS)) for n in range(1000, 1080)]
    found = search(Model(is_right), cases)
    assert found.is_proved
    assert {example.answer for example in found.best.prompt.examples} <= set(ANSWERS)


# The edits


def test_the_instruction_is_what_stands_before_the_line_of_the_first_variable() -> None:
    for source, instruction in [
        ("Do it.\n\n{text}", "Do it."),
        ("Do it.\n\nText: {text}", "Do it."),
        ("Do it now", "Do it now"),
        ("Write \\{x} down.\n{text}", "Write {x} down."),
    ]:
        found = variants.find_instruction(Prompt(prompt=source, variables={"text": Variable()}))
        assert found is not None
        assert found.text == instruction
    for source in ("What is {text}?", "{text}\n\nDo it.", "Word:\n{text}"):
        assert variants.find_instruction(Prompt(prompt=source, variables={"text": Variable()})) is None


def test_edits_change_the_instruction_and_nothing_else() -> None:
    prompt = Prompt(prompt="Do it.\n\nText: {text}[[ in {tone}]]", variables={"text": Variable(), "tone": Variable()})
    assert variants.set_instruction(prompt, "Try [it] {now}.").prompt.endswith("\n\nText: {text}[[ in {tone}]]")
    rendered = variants.set_instruction(prompt, "Try [it] {now}.").prompt_template.render({"text": "T"})
    assert rendered == "Try [it] {now}.\n\nText: T"
    assert variants.add_sentence(prompt, "Be brief.").prompt.startswith("Do it. Be brief.\n")
    moved = variants.move_instruction(prompt)
    assert (moved.system, moved.prompt) == ("Do it.", "Text: {text}[[ in {tone}]]")
    asked = Prompt(prompt="What is {text}?", variables={"text": Variable()})
    assert variants.set_instruction(asked, "Tell me.").prompt == "Tell me.\n\nWhat is {text}?"
    assert variants.add_sentence(asked, "Be brief.").prompt == "What is {text}?\n\nBe brief."
    assert variants.move_instruction(asked) == asked


@pytest.mark.parametrize(
    ("answers", "names"),
    [
        (["yes", "no"] * 4, ["labels listed", "length of the answer named"]),
        (["2026-01-02", "2025-11-30"], ["form of the date named"]),
        (['{"a": 1, "b": 2}', '{"b": 3, "a": 4}'], ["keys of the JSON named"]),
        (["one sentence that is long", "another"], ["no introduction"]),
        ([], []),
    ],
)
def test_the_form_of_the_answers_is_told(answers: list[str], names: list[str]) -> None:
    assert [name for _, name in variants.describe_answers(answers)] == names


@pytest.mark.parametrize(
    ("answer", "instruction"),
    [
        ('"Find the animal in it."', "Find the animal in it."),
        ("Instruction: Find the animal.\n\nMore", "Find the animal."),
        ("Yes.", ""),
        ("word " * 200, ""),
        ("", ""),
    ],
)
def test_instructions_of_a_model_are_cleaned(answer: str, instruction: str) -> None:
    assert variants.clean_instruction(answer) == instruction


# The cases


@pytest.mark.parametrize(
    ("row", "given", "answer"),
    [
        ({"input": "5", "answer": "odd"}, {"text": "5"}, "odd"),
        ({"text": 5, "answer": "odd"}, {"text": "5"}, "odd"),
        ({"given": {"text": "5"}, "answer": True}, {"text": "5"}, "true"),
        ({"input": "5", "regex": "o"}, {"text": "5"}, ""),
    ],
)
def test_a_case_is_read(row: dict[str, Any], given: dict[str, str], answer: str) -> None:
    case = parse_case(row, PROMPT)
    assert (case.given, case.answer) == (given, answer)
    assert not case.checks.is_empty


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ([1], "assistant.case_not_object"),
        ({"input": "5"}, "assistant.answer_missing"),
        ({"answer": "odd"}, "assistant.value_missing"),
        ({"input": "5", "answer": "odd", "colour": "red"}, "assistant.unknown_value"),
        ({"input": ["5"], "answer": "odd"}, "assistant.value_not_text"),
        ({"input": "5", "max_words": "many"}, "core.bad_setting_value"),
    ],
)
def test_faults_of_a_case_are_named(row: Any, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        parse_case(row, PROMPT)
    assert caught.value.code == code


def test_files_of_cases_are_read_with_the_line_of_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '{"input": "5", "answer": "odd"}\n\n{"input": "5 ", "answer": "even"}\n{"input": "6", "answer": "even"}\n'
    )
    cases = read_cases(path, PROMPT)
    assert [join_values(case.given) for case in cases] == ["5", "6"], "of two with one input, the first counts"
    assert cases[0].answer == "odd"
    for line in ("{", "3", '{"input": "5"}', "[" * 100_000):
        path.write_text('{"input": "5", "answer": "odd"}\n' + line)
        with pytest.raises(GenloomError) as caught:
            read_cases(path, PROMPT)
        assert caught.value.code == "assistant.bad_case"
        assert caught.value.fields["line"] == 2
    for content, code in ((b"\n\n", "assistant.no_cases"), (b"\xff", "core.unreadable_file")):
        path.write_bytes(content)
        with pytest.raises(GenloomError) as caught:
            read_cases(path, PROMPT)
        assert caught.value.code == code


def test_judges_compare_answers() -> None:
    assert build_answer_checks("a", "contains") == AnswerChecks(contains=("a",))
    assert build_answer_checks("[1]", "json") == AnswerChecks(json_equals="[1]")
    assert build_answer_checks("", "check:length:max_length=3") == AnswerChecks(check=("length:max_length=3",))
    with pytest.raises(GenloomError) as caught:
        build_answer_checks("a", "exakt")
    assert caught.value.code == "assistant.unknown_judge"


def test_a_split_is_exact_and_the_same_each_time() -> None:
    cases = make_cases(30)
    split = split_cases(cases, 0.4, 0)
    assert (len(split.train), len(split.held_out)) == (18, 12)
    assert split == split_cases(cases[::-1], 0.4, 0)
    assert split != split_cases(cases, 0.4, 1)
    assert isinstance(split, CaseSplit)
    assert not {join_values(c.given) for c in split.train} & {join_values(c.given) for c in split.held_out}
