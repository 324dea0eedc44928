"""A text in a format: always valid, ended by the format, replayable, and marked where a limit cut it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.api.workspace import Workspace
from genloom.cli import run
from genloom.codecs import bpe, tokenizer
from genloom.codecs import bytes as plain
from genloom.generate.grammar import LIMITS, build_grammar_constraint, build_matcher, fits_grammar
from genloom.generate.output_format import build_output_format, close_objects
from genloom.generate.shortest_text import EndlessError, count_fewest_tokens, find_shortest_json, find_shortest_match
from genloom.model import Design, Model, build_networks, build_objective, resolve_space, save_model
from genloom.networks.native import build as native
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplerInputs, SamplingParams, process_logits, sample_next_tokens
from genloom.store.workspace import Workspace as Store
from tests.errors import raises_code

TEXTS = ['The old king saw the sea, and 12 of 34 said so: it\'s "fine" {or} [not].\n' * 20, '{"name": "Zoë"}\n' * 20]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "ö"]}, "maxItems": 2},
    },
    "required": ["name", "age"],
}


def fit_tokenizer() -> Any:
    inside = Tokenizer(models.BPE())
    inside.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inside.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inside.train_from_iterator(TEXTS, trainer)
    return tokenizer.Codec.from_json(inside.to_str(), tokenizer.Config(context_length=256))


CODECS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: plain.Codec.fit([], plain.Config()),
    "bpe": lambda: bpe.Codec.fit(TEXTS, bpe.Config(vocab_size=300)),
    "tokenizer": fit_tokenizer,
}


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a random model of each codec."""
    folder = tmp_path_factory.mktemp("formats")
    for name, fit in CODECS.items():
        codec = fit()
        network = {"width": 64, "depth": 1, "heads": 2, "qk_norm": False}
        design = Design(name, "autoregressive", "transformer", 256, network_settings=network)
        objective = build_objective(design, resolve_space(design, codec))
        torch.manual_seed(0)
        parts = build_networks(design, objective)
        with torch.no_grad():
            for weight in parts.parameters():
                weight += 0.1 * torch.randn_like(weight)
        with Store(folder).create_model(name) as made:
            save_model(
                Model(name, codec, objective, parts, design), made, design.to_tables(), {"has_learned_roles": True}
            )
    return Workspace(folder, progress=False)


@pytest.fixture(params=["float32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    if request.param == "int8" and (reason := native.get_unavailable_reason()):
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("name", CODECS)
def test_json_fits_its_schema_for_every_codec_and_decoder(ws: Workspace, name: str, precision: str) -> None:
    outputs = ws.model(name).generate(
        ["A", "The sea"], n=2, schema=SCHEMA, seed=1, max_tokens=200, temperature=1.0, precision=precision
    )
    assert len({output.continuation for output in outputs}) > 1
    for output in outputs:
        jsonschema.validate(json.loads(output.continuation), SCHEMA)
        assert output.value == output.continuation, "the prompt would be no JSON"
        assert "is_incomplete" not in output.record
        output.replay()


@pytest.mark.parametrize("name", CODECS)
def test_other_formats_are_kept_to(ws: Workspace, name: str) -> None:
    model = ws.model(name)
    (date,) = model.generate(regex=r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d", seed=3)
    assert re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d", date.value)
    choices = ["yes", "no", "perhaps, Zoë", 'a "quoted"\none']
    found = {output.value for output in model.generate(choices=choices, n=12, seed=1, temperature=2.0)}
    assert len(found) > 1
    assert found <= set(choices)
    lark = 'start: sum\nsum: NUMBER ("+" NUMBER){1,3}\nNUMBER: /[1-9][0-9]{0,2}/\n'
    (output,) = model.generate(grammar=lark, seed=2)
    assert re.fullmatch(r"[1-9]\d{0,2}(\+[1-9]\d{0,2}){1,3}", output.value)
    assert output.record["request"]["grammar"]
    output.replay()


def test_a_draft_of_what_the_format_forces_changes_nothing(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ws.model("tokenizer")
    options: dict[str, Any] = {"schema": SCHEMA, "seed": 5, "max_tokens": 200, "is_marked": False, "precision": "int8"}
    if reason := native.get_unavailable_reason():
        pytest.skip(reason)
    texts = [model.generate(**options)[0].value]
    monkeypatch.setattr("genloom.objectives.autoregressive.predict_tokens", lambda constraint, contexts: [])
    texts.append(model.generate(**options)[0].value)
    assert texts[0] == texts[1]


def test_a_text_that_a_limit_cuts_is_never_called_valid(ws: Workspace) -> None:
    (cut,) = ws.model("bytes").generate(regex="[a-z]{6}[a-z]{30}|[0-9]{40}", seed=1, max_tokens=36)
    whole = ws.model("bytes").generate(regex="[a-z]{6}", seed=1, max_tokens=6)[0]
    assert "is_incomplete" not in whole.record, "it is complete although no token ended it"
    assert len(whole.value) == 6
    if not re.fullmatch("[a-z]{36}", cut.value):
        assert cut.record["is_incomplete"] is True
        cut.replay()


@pytest.mark.parametrize(
    ("options", "fewest"),
    [
        ({"schema": SCHEMA}, len('{"name": "", "age": 0}')),
        ({"regex": "[0-9]{4}-[0-9]{2}"}, 7),
        ({"choices": ["yes", "perhaps"]}, 3),
    ],
)
def test_a_limit_that_no_text_fits_in_is_refused_before(ws: Workspace, options: dict[str, Any], fewest: int) -> None:
    with raises_code("generate.format_needs_tokens", num_needed=fewest, max_tokens=2):
        ws.model("bytes").generate(max_tokens=2, **options)
    assert not [output for output in ws.outputs if output.record["request"]["params"].get("max_tokens") == 2]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("generate.several_formats", {"schema": {}, "regex": "a"}),
        ("generate.format_with_stop", {"regex": "a+", "stop": "b"}),
        ("generate.bad_choices", {"choices": ["a", ""]}),
        ("generate.bad_format", {"regex": "(a"}),
        ("generate.bad_format", {"regex": "(?=a)b"}),
        ("generate.bad_format", {"grammar": "start: missing"}),
        ("generate.grammar_dead_end", {"grammar": "start: start"}),
        ("generate.unsupported_schema", {"schema": {"$ref": "#"}}),
        ("generate.grammar_too_long", {"regex": "a" * 300_000}),
        ("generate.unsupported_schema", {"schema": False}),
        ("generate.unsupported_schema", {"schema": {"type": "string", "minLength": 5, "maxLength": 2}}),
        ("generate.unsupported_schema", {"schema": {"enum": []}}),
        ("generate.unsupported_schema", {"schema": {"type": "integer", "minimum": 3, "maximum": 1}}),
    ],
)
def test_a_format_with_a_fault_is_refused(ws: Workspace, code: str, options: dict[str, Any]) -> None:
    with raises_code(code):
        ws.model("bytes").generate(**options)


def test_an_unsupported_keyword_is_named_with_its_place() -> None:
    schema = {"type": "object", "properties": {"age": {"not": {"type": "string"}}}}
    with raises_code("generate.unsupported_schema", place="properties.age.not"):
        build_output_format(schema=schema)
    nested: dict[str, Any] = {"type": "integer"}
    for _ in range(300):
        nested = {"type": "array", "items": nested}
    with raises_code("generate.unsupported_schema"):
        build_output_format(schema=nested)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    ],
)
def test_a_schema_without_an_end_is_refused(schema: Any) -> None:
    with raises_code("generate.unsupported_schema"):
        build_output_format(schema=schema)
    with pytest.raises(EndlessError):
        find_shortest_json(schema)


def test_many_ways_to_refer_to_itself_take_no_time() -> None:
    names = [f"#/$defs/x{n}" for n in range(60)]
    parts = {f"x{n}": {"anyOf": [{"type": "array", "items": {"$ref": name}, "minItems": 1} for name in names]}
             for n in range(60)}  # fmt: skip
    with pytest.raises(EndlessError):
        find_shortest_json({"$ref": names[0], "$defs": parts})
    parts["x59"]["anyOf"].append({"type": "null"})
    assert find_shortest_json({"$ref": names[0], "$defs": parts}) == "[null]"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"regex": "x(a"}, 'unclosed group at "(a"'),
        ({"regex": "a{2,1}"}, "invalid repetition count range"),
        ({"regex": "a" * 3000 + "(b"}, 'unclosed group at "(b"'),
        ({"regex": "(?=a)b"}, "look-ahead and look-behind, is not supported"),
        ({"grammar": 'start: a\na: "x"\na: "y"'}, "line 3, column 4: duplicate rule"),
        ({"grammar": "start: /[/"}, "line 1, column 8: unclosed character class"),
    ],
)
def test_the_reason_of_a_fault_is_whole(options: dict[str, Any], reason: str) -> None:
    with raises_code("generate.bad_format") as caught:
        build_output_format(**options)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


# They cost a bounded amount of work: each is refused, or its texts are written.
BOMBS = [
    "(a|aa)*b", "((a*)*)*b", "(a{1000}){1000}", "(.*a){25}", "(a?){500}a{500}", "[^a]{50000}", "(x+x+)+y",
    "(\\w{1,300}){1,300}", "((((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}){9})", "(a|b|ab)*(c|d|cd)*e{1,200}",
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_regex_bomb_costs_an_error_at_most(ws: Workspace, bomb: str) -> None:
    from genloom.errors import GenloomError

    try:
        ws.model("bytes").generate(regex=bomb, max_tokens=40, seed=1)
    except GenloomError as error:
        assert error.code in (  # noqa: PT017
            "generate.bad_format", "generate.grammar_too_complex", "generate.format_needs_tokens",
            "generate.bad_grammar",
        )  # fmt: skip


def test_a_huge_schema_costs_an_error_at_most() -> None:
    wide = {"type": "object", "properties": {f"name{n}": {"type": "string", "maxLength": 3} for n in range(20_000)}}
    with raises_code("generate.grammar_too_long"):
        build_output_format(schema=wide)
    assert LIMITS["max_grammar_size"] <= 500_000


def test_a_model_of_other_values_keeps_to_no_format(trained_home: Store) -> None:
    with raises_code("generate.no_grammar_support"):
        Workspace(trained_home.root).model("masks").generate(choices=["a", "b"])


def test_the_mask_comes_first_and_the_rest_is_renormalised() -> None:
    codec = CODECS["bytes"]()
    output_format = build_output_format(choices=["a", "b", "c"])
    assert output_format is not None
    logits = torch.full((1, codec.space.vocab_size), 8.0)
    a, b, c = (int(codec.encode(letter)[0]) for letter in "abc")
    logits[0, [a, b, c]] = torch.tensor([2.0, 1.0, -3.0])

    def find_probabilities(**params: Any) -> list[float]:
        constraint = build_grammar_constraint(codec, output_format.grammar, ())
        inputs = SamplerInputs(constraint=constraint)
        processed = process_logits(logits, [np.array([0])], SamplingParams(inputs=inputs, **params))
        found = processed.softmax(1)[0]
        assert float(found[[a, b, c]].sum()) == pytest.approx(1)
        return found[[a, b, c]].tolist()

    assert find_probabilities() == pytest.approx(torch.tensor([2.0, 1.0, -3.0]).softmax(0).tolist())
    assert find_probabilities(temperature=0.5) == pytest.approx(torch.tensor([4.0, 2.0, -6.0]).softmax(0).tolist())
    assert find_probabilities(top_p=0.7) == [1, 0, 0]
    assert find_probabilities(min_p=0.1) == pytest.approx([*torch.tensor([2.0, 1.0]).softmax(0).tolist(), 0])
    assert find_probabilities(top_k=2) == pytest.approx([*torch.tensor([2.0, 1.0]).softmax(0).tolist(), 0])
    draws = [
        int(
            sample_next_tokens(
                logits,
                [np.array([0])],
                Noise(1, (nonce,)),
                SamplingParams(
                    inputs=SamplerInputs(constraint=build_grammar_constraint(codec, output_format.grammar, ()))
                ),
            )
        )
        for nonce in range(400)
    ]
    assert set(draws) <= {a, b, c}
    assert draws.count(a) / 400 == pytest.approx(float(torch.tensor([2.0, 1.0, -3.0]).softmax(0)[0]), abs=0.1)


def test_a_row_that_something_else_ended_harms_no_other() -> None:
    codec = CODECS["bytes"]()
    output_format = build_output_format(regex="[a-z]{9}")
    assert output_format is not None
    constraint = build_grammar_constraint(codec, output_format.grammar, ())
    prompts = [np.array([0, 5]), np.array([0])]
    assert constraint(prompts)[:, int(codec.encode("q")[0])].all()
    letter, eos = int(codec.encode("q")[0]), codec.space.eos
    allowed = constraint([np.append(prompts[0], eos), np.append(prompts[1], letter)])
    assert np.flatnonzero(allowed[0]).tolist() == [eos]
    assert allowed[1, letter]


def test_a_special_token_is_written_only_where_the_grammar_names_it() -> None:
    codec = CODECS["tokenizer"]()
    eos_ids = (codec.special_tokens["<|im_end|>"],)
    everything = build_output_format(regex="(.|\n)*")
    assert everything is not None
    allowed = build_grammar_constraint(codec, everything.grammar, eos_ids)([np.array([0])])[0]
    assert not allowed[codec.special_tokens["<|im_start|>"]]
    named = build_output_format(grammar='start: <|im_start|> "x"\n')
    assert named is not None
    matcher = build_matcher(codec, named.grammar, (codec.space.eos, *eos_ids))
    assert not matcher.is_error()
    ids = [codec.special_tokens["<|im_start|>"], int(codec.encode("x")[0])]
    assert fits_grammar(codec, named.grammar, eos_ids, ids)
    assert not fits_grammar(codec, named.grammar, eos_ids, ids[:1])


@pytest.mark.parametrize(
    ("schema", "shortest"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, '{"a": ""}'),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "{}"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, "[true, true]"),
        ({"enum": ["long text", 5]}, "5"),
        ({"const": {"a": 1}}, '{"a": 1}'),
        ({"type": "string", "minLength": 3}, '"aaa"'),
        ({"anyOf": [{"type": "string", "minLength": 30}, {"type": "null"}]}, "null"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": ["object", "null"]}}}, "{}"),
        ({"$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}}, "$ref": "#/$defs/x"}, "[]"),
        ({"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 2}, {"type": "boolean"}]}, "true"),
        (
            {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
                "required": ["next"],
            },
            '{"next": null}',
        ),
        ({"type": "array", "items": {"$ref": "#/$defs/gone"}, "minItems": 1}, "[0]"),
    ],
)
def test_the_shortest_json_of_a_schema_is_known(schema: Any, shortest: str | None) -> None:
    assert find_shortest_json(schema) == shortest


def test_the_shortest_match_has_the_length_of_the_pattern() -> None:
    assert [len(find_shortest_match(regex) or "") for regex in (r"a|bcd", r"\d{4}-x?", "(ab){3}")] == [1, 5, 6]
    assert find_shortest_match("(?P<") is None
    assert count_fewest_tokens(CODECS["bytes"](), ["aaaa", "bb"]) == 2


def test_objects_are_closed_unless_they_say_otherwise() -> None:
    assert close_objects({"properties": {"a": {"properties": {}}}}) == {
        "properties": {"a": {"properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }
    is_open = {"properties": {"a": True}, "additionalProperties": {"type": "string"}}
    assert close_objects(is_open) == is_open


@pytest.fixture
def home(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GENLOOM_HOME", str(ws.folder))
    return ws


def generate(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["generate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_reads_formats_from_options_and_files(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "sum.lark").write_text('start: /[1-9]/ "+" /[1-9]/\n')
    common = ["bytes", "--max-tokens", "200", "--seed", "1"]
    (made,) = generate(capsys, *common, "--schema", str(tmp_path / "schema.json"))["outputs"]
    jsonschema.validate(json.loads(made["written"]), SCHEMA)
    assert generate(capsys, "--replay", made["id"])["identical"]
    (made,) = generate(capsys, *common, "--schema", str(tmp_path / "schema.json"), "--prompt", "A person: ")["outputs"]
    jsonschema.validate(json.loads(made["text"]), SCHEMA)
    assert made["prompt"] == "A person: "
    (made,) = generate(capsys, *common, "--choices", 'yes,"no, never"')["outputs"]
    assert made["written"] in ("yes", "no, never")
    (made,) = generate(capsys, *common, "--regex", "-[0-9]+-")["outputs"]
    assert re.fullmatch("-[0-9]+-?", made["written"])
    (made,) = generate(capsys, *common, "--grammar", str(tmp_path / "sum.lark"))["outputs"]
    assert re.fullmatch(r"[1-9]\+[1-9]", made["written"])


def test_a_text_in_a_format_stands_without_its_prompt(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    out = tmp_path / "person.json"
    command = ["generate", "bytes", "--max-tokens", "200", "--seed", "1", "--prompt", "A person: "]
    assert run([*command, "--schema", str(tmp_path / "schema.json"), "--out", str(out)]) == 0
    jsonschema.validate(json.loads(out.read_text(encoding="utf-8")), SCHEMA)
    assert "A person: {" not in capsys.readouterr().out
    output = home.outputs[-1]
    assert output.value == output.continuation
    assert output.prompt == "A person: "
    assert output.replay() == output.value


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("cli.empty_format", ["--choices", ""]),
        ("cli.bad_choices", ["--choices", 'a,"b']),
        ("cli.schema_not_json", ["--schema", "bad.json"]),
        ("cli.schema_empty", ["--schema", "empty.json"]),
        ("cli.schema_not_file", ["--schema", '{"type": "string"}']),
        ("generate.schema_no_object", ["--schema", "list.json"]),
        ("core.unreadable_file", ["--grammar", "missing.lark"]),
        ("generate.several_formats", ["--choices", "a,b", "--regex", "c"]),
        ("cli.replay_with_options", ["--replay", "x", "--regex", "a"]),
    ],
)
def test_a_wrong_format_of_the_command_is_named(
    home: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty.json").write_text("\n")
    (tmp_path / "list.json").write_text("[]")
    assert run(["generate", *(["bytes"] if "--replay" not in words else []), *words]) == 2
    assert code in capsys.readouterr().err


def test_a_limit_in_the_chat_template_counts_the_answer_only(
    home: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (made,) = generate(capsys, "bytes", "--chat", "--prompt", "Yes or no?", "--choices", "yes,no", "--seed", "1")[
        "outputs"
    ]
    record = home.output(made["id"]).record
    assert made["text"] in ("yes", "no")
    assert record["conversation"] == [{"role": "user", "content": "Yes or no?"}]
    assert not record["request"]["stop_loops"], "a format is not broken off where it repeats itself"
