"""Ratings, choices, withdrawals and promotions on the command line, as a person and as a script sees them."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import genloom as gl
from genloom.cli import run
from genloom.rate.auto_rater import rate_pairs
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from tests.errors import raises_code

RunJSON = Callable[..., dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of two outputs for one prompt and one for another, and of a person called zoe."""
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    monkeypatch.delenv("GENLOOM_LEDGER", raising=False)
    monkeypatch.setenv("LOGNAME", "zoe")
    workspace = Workspace.from_option()
    for prompt, text in (("A tale", " of the sea"), ("A tale", " of a boat"), ("Why?", " Because.")):
        record = {"model": "notes/1", "prompt": prompt, "written": text}
        workspace.save_output(prompt + text, ".txt", record)
    return workspace


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> RunJSON:
    """Run a verb with --json and return its result."""

    def run_verb(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run_verb


def run_and_read(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == code
    return capsys.readouterr().out


def test_outputs_are_rated_and_listed_with_their_use(
    home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str]
) -> None:
    sea, boat, why = home.list_outputs()
    up = run_json("rate", sea, "--up")
    assert (up["output"], up["scale"], up["value"], up["rater"], up["machine"]) == (sea, "thumb", 1, "zoe", False)
    assert f'{boat} ("of a boat") is bad (zoe).' in run_and_read(
        capsys, "rate", boat, "--down", "--note", "no sea in it"
    )
    shown = run_and_read(capsys, "rate", "last", "--stars", "4", "--rater", "judge", "--machine")
    assert shown.startswith(f'{why} ("')
    assert '") has 4 of 5 stars (judge).' in shown
    run_json("rate", why, "--note", "short")
    listed = run_json("ratings")
    assert [r["effect"] for r in listed["ratings"]] == ["pair", "pair", "unpaired", "a note"]
    assert [r["machine"] for r in listed["ratings"]] == [False, False, True, False]
    assert (listed["pairs"], listed["unpaired"], listed["enough"]) == (1, 1, False)
    assert listed["learned_from"] + listed["held_out"] == 2
    assert listed["missing"]
    shown = run_and_read(capsys, "ratings")
    for words in (
        up["event"],
        f"{sea} good",
        f"{why} ****",
        "A tale → of a boat",
        "Note: no sea in it",
        "Note: short",
        "4 ratings: 1 pair and 1 unpaired rating, ",
        listed["missing"],
    ):
        assert words in shown


def test_a_choice_between_two(home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str]) -> None:
    sea, boat, _ = home.list_outputs()
    shown = run_and_read(capsys, "rate", "--pair", sea, boat, "--winner", "b")
    assert re.search(f'{boat} \\("of a boat"\\) is better than {sea} \\(".*"\\) \\(zoe\\).', shown)
    facts = run_json("rate", "--pair", sea, boat, "--winner", "bad", "--rater", "other")
    assert (facts["kind"], facts["winner"], facts["prompt"], facts["rater"]) == ("choice", "bad", "A tale", "other")
    listed = run_json("ratings")
    assert [r["says"] for r in listed["ratings"]] == [f"{sea} < {boat}", f"{sea} both bad {boat}"]


def test_the_same_command_id_is_one_rating(home: Workspace, run_json: RunJSON) -> None:
    first = run_json("rate", "last", "--up", "--id", "mine")
    assert run_json("rate", "last", "--up", "--id", "mine") == first
    assert len(run_json("ratings")["ratings"]) == 1


def test_a_user_without_a_name_must_give_one(
    home: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert run(["rate", "last", "--up"]) == 2
    assert "[api.unknown_user]" in capsys.readouterr().err


def test_a_rating_is_withdrawn(home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str]) -> None:
    event = run_json("rate", "last", "--up")["event"]
    assert f"{event} is withdrawn" in run_and_read(capsys, "ratings", "withdraw", event)
    listed = run_json("ratings")
    assert [r["effect"] for r in listed["ratings"]] == ["withdrawn"]
    assert listed["unpaired"] == 0


def test_contradictions_are_shown(home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    sea, boat, _ = home.list_outputs()
    for rater, winner in (("me", "a"), ("you", "b")):
        run_and_read(capsys, "rate", "--pair", sea, boat, "--winner", winner, "--rater", rater)
    assert f"Contradiction: me and you about {sea} and {boat} (" in run_and_read(capsys, "ratings")


def test_ratings_are_exported(home: Workspace, run_json: RunJSON, tmp_path: Path) -> None:
    sea, boat, why = home.list_outputs()
    run_json("rate", "--pair", sea, boat, "--winner", "a")
    run_json("rate", why, "--down")
    (dpo,) = run_json("ratings", "export", "--to", "dpo")["rows"]
    assert (dpo["prompt"], dpo["chosen"], dpo["rejected"]) == ("A tale", " of the sea", " of a boat")
    assert run_json("ratings", "export", "--to", "kto", "--out", str(tmp_path / "kto.jsonl"))["rows"] == 3
    kto = [json.loads(line) for line in (tmp_path / "kto.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["completion"], row["label"]) for row in kto] == [
        ("A tale", " of the sea", True), ("A tale", " of a boat", False), ("Why?", " Because.", False),
    ]  # fmt: skip
    entries = run_json("ratings", "export", "--to", "jsonl")["rows"]
    assert [entry["kind"] for entry in entries] == ["choice", "rating"]
    assert entries[1]["previous"] == entries[0]["digest"]


def test_an_export_of_nothing_says_why(home: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for to in ("dpo", "kto", "jsonl"):
        assert run(["ratings", "export", "--to", to, "--out", str(tmp_path / "none.jsonl")]) == 0
        error = capsys.readouterr().err
        assert "genloom rate ID --up" in error
        assert "signature" not in error, "an empty file needs none"
    run_and_read(capsys, "rate", home.list_outputs()[2], "--down")
    for to, is_empty in (("dpo", True), ("kto", False), ("jsonl", False)):
        assert run(["ratings", "export", "--to", to]) == 0
        assert ("--to kto" in capsys.readouterr().err) == is_empty


def test_an_output_that_was_edited_is_not_used(
    home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nobody rated what somebody typed into the file: the edit is named, with the way out of it."""
    sea, boat, why = home.list_outputs()
    run_json("rate", "--pair", sea, boat, "--winner", "a")
    path, _ = home.get_output(boat)
    path.write_text("A tale of another boat")
    uses = [
        ["rate", boat, "--up"],
        ["rate", "--pair", sea, boat, "--winner", "b"],
        ["ratings"],
        ["ratings", "export", "--to", "dpo"],
    ]
    for use in uses:
        capsys.readouterr()
        assert run(use) == 2, use
        error = capsys.readouterr().err
        assert "[store.output_changed]" in error
        assert f"genloom remove outputs {boat} --force" in error
    output = gl.Workspace(home.root).output(boat)
    for read in (
        lambda: output.value,
        lambda: output.save(tmp_path),
        lambda: rate_pairs(home, open_ledger(home.root), "notes", "length:max_length=9"),
    ):
        with raises_code("store.output_changed", path=path, id=boat):
            read()
    run_json("rate", why, "--up")
    run_json("remove", "outputs", boat, "--force")
    assert run_json("ratings")["ratings"]


def test_answers_of_a_chat_are_exported_as_messages(home: Workspace, run_json: RunJSON) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    facts = {"model": "notes/1", "prompt": "Why?", "conversation": said}
    a, b = (home.save_output(text, ".txt", {**facts, "written": text}) for text in ("So.", "Because of that."))
    run_json("rate", "--pair", a, b, "--winner", "a")
    (row,) = run_json("ratings", "export", "--to", "dpo")["rows"]
    assert row["prompt"] == said
    assert row["chosen"] == [{"role": "assistant", "content": "So."}]


def test_the_ledger_is_verified(home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str]) -> None:
    run_json("rate", "last", "--up")
    head = open_ledger(home.root).get_head()
    assert head is not None
    facts = {"sound": True, "entries": 1, "digest": head.digest}
    assert run_json("ratings", "verify") == facts | {"is_end_known": True}
    assert "1 entry, " in run_and_read(capsys, "ratings", "verify")
    (home.root / "ledger.sqlite.head.json").unlink()  # as one who cuts the end would
    assert run_json("ratings", "verify") == facts | {"is_end_known": False}
    assert run(["ratings", "verify"]) == 0
    assert "ledger.sqlite.head.json is missing" in capsys.readouterr().err
    import sqlite3

    with sqlite3.connect(home.root / "ledger.sqlite") as connection:
        connection.execute("DROP TRIGGER genloom_no_update")
        connection.execute("UPDATE genloom_events SET body = replace(body, '\"value\":1', '\"value\":-1')")
    connection.close()
    assert "entry 1" in run_json("doctor", "--verify", code=1)["problems"][-1]
    facts = run_json("ratings", "verify", code=1)
    assert (facts["sound"], "entry 1" in facts["problem"]) == (False, True)


def test_versions_are_promoted_and_rolled_back(
    home: Workspace, run_json: RunJSON, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in range(3):
        with home.create_model("notes") as folder:
            (folder / "weights.safetensors").write_bytes(bytes([version]))
            (folder / "card.json").write_text("{}")
    shown = run_and_read(capsys, "promote", "notes", "--to", "1", "--reason", "kinder")
    assert "notes now means notes/1 instead of notes/3." in shown  # the newest version was in use
    assert "notes now means notes/3 instead of notes/1." in run_and_read(capsys, "promote", "notes", "--to", "3")
    facts = run_json("rollback", "notes")
    assert (facts["version"], facts["champion_before"], facts["by"]) == (1, 3, "person")
    assert home.get_model("notes").version == 1
    assert [row["in_use"] for row in run_json("list", "models")["models"]] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rate"], "[api.rating_missing]"),
        (["rate", "--up"], "[cli.rating_output_missing]"),
        (["rate", "last", "--up", "--down"], "[api.rating_conflict]"),
        (["rate", "last", "--stars", "6"], "[cli.invalid_integer]"),
        (["rate", "last", "--note", " "], "[rate."),
        (["rate", "last", "--up", "--rater", "a/b"], "contains '/'"),
        (["rate", "--pair", "last", "last", "--winner", "a"], "[rate."),
        (["rate", "--pair", "FIRST", "last", "--winner", "a"], "[rate."),
        (["rate", "--pair", "last", "last"], "[cli.choice_usage]"),
        (["rate", "last", "--winner", "a"], "[cli.choice_usage]"),
        (["rate", "--check", "length:max_length=1"], "[cli.check_usage]"),
        (["rate", "notes", "--check", "length:max_length=1", "--up"], "[cli.check_usage]"),
        (["rate", "2026-01-01-000000", "--up"], "'2026-01-01-000000'"),
        (["rate", "last", "--up", "--ledger", "mysql://x/y"], "mysql://x/y"),
        (["ratings", "withdraw"], "[cli.ratings_usage]"),
        (["ratings", "export"], "[cli.ratings_usage]"),
        (["ratings", "list", "x"], "[cli.ratings_usage]"),
        (["ratings", "list", "--out", "x.jsonl"], "[cli.ratings_usage]"),
        (["ratings", "verify", "--out", "x.jsonl"], "[cli.ratings_usage]"),
        (["ratings", "withdraw", "x"], "'x'"),
        (["ratings", "--model", "nothing"], "'nothing'"),
        (["promote", "notes", "--to", "2"], "'notes'"),
        (["rollback", "notes"], "'notes'"),
        (["arena", "icons"], "[api.arena_prompts_missing]"),
        (["arena", "notes", "--prompts", "/no/such"], "/no/such"),
        (["arena", "icons", "--prompt", "x", "--temperature", "0"], "[api.arena_temperature_zero]"),
        (
            ["arena", "notes", "--prompt", "x", "--repeats", "2"],
            "[cli.invalid_number]",
        ),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    arguments: list[str], words: str, home: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = home.list_outputs()[0]
    assert run([first if each == "FIRST" else each for each in arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not (home.root / "ledger.sqlite").exists()


@pytest.fixture(scope="module")
def tales(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions of a text model."""
    workspace = Workspace(tmp_path_factory.mktemp("arena") / "workspace")
    data = worlds.create_dataset(workspace)
    for steps in (4, 5):
        worlds.finish_run(workspace, worlds.build_job(data, steps))
    return workspace.root


ROUND = [
    "--prompt",
    "The old",
    "--prompt",
    "Zoë",
    "--prompt",
    "A",
    "--prompt",
    "B",
    "--prompt",
    "C",
    "--max-tokens",
    "12",
]


@pytest.fixture
def arena(
    tales: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Run an arena with typed answers; return standard output and error."""

    def play(*arguments: str, typed: str) -> tuple[str, str]:
        monkeypatch.setenv("GENLOOM_HOME", str(tales))
        monkeypatch.setenv("LOGNAME", "zoe")
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in typed.split())))
        capsys.readouterr()
        assert run(["arena", *arguments]) == 0
        return capsys.readouterr()

    return play


def test_a_session_continues_where_it_was_left(
    arena: Callable[..., tuple[str, str]], tales: Path, run_json: RunJSON
) -> None:
    given = ["tales", *ROUND, "--repeats", "0.2"]
    out, _ = arena(*given, typed="a what B q")
    assert "── 1 of 6 · " in out
    assert "tales/" not in out.partition("choices now")[0], "the models stay hidden"
    assert out.count("a or b: ") == 2, "an unknown answer shows the help"
    assert "2 choices now, 2 in this session." in out
    assert len(Workspace(tales).list_outputs()) in (6, 8), "the next pair may be generated already"
    out, _ = arena(*given, typed="s t x a")
    assert "── 3 of 6 · " in out
    assert "3 choices now, 5 in this session." in out
    out, _ = arena(*given, typed="a a a")
    assert "── 6 of 6 · " in out, "the skipped pair comes back"
    assert "1 choice now" in out
    out, _ = arena(*given, typed="a")
    assert "0 choices now" in out
    listed = run_json("ratings")["ratings"]
    assert [r["rater"] for r in listed] == ["zoe"] * len(listed)
    assert sum(r["effect"].startswith("replaced") for r in listed) == 1, "the pair shown twice"
    for output, record in Workspace(tales).list_records():
        assert record["prompt"] in ROUND
        assert output.is_file()


def test_a_model_is_rated_without_prompts(arena: Callable[..., tuple[str, str]], run_json: RunJSON) -> None:
    _, err = arena("tales", "--count", "3", "--repeats", "0", "--max-tokens", "8", "--json", typed="a q")
    assert "1 of 3" in err
    out, err = arena("tales", "--count", "3", "--repeats", "0", "--max-tokens", "8", "--json", typed="b t")
    assert "3 of 3" in err
    assert len(json.loads(out)["choices"]) == 3, "the session is continued"


def test_two_versions_are_compared_blind(arena: Callable[..., tuple[str, str]]) -> None:
    out, err = arena("tales/1", "--against", "tales/2", *ROUND, "--repeats", "0", "--json", typed="a a b b t")
    facts = json.loads(out)
    assert sum(facts["wins"].values()) == 4
    assert set(facts["wins"]) <= {"tales/1", "tales/2"}
    assert (facts["first"], facts["second"], facts["ties"], facts["bad"]) == (2, 2, 1, 0)
    assert len(facts["choices"]) == 5
    assert re.search(r"── 5 of 5 · .*\n── A\n", err)


def test_models_of_different_media_are_not_compared(tales: Path) -> None:
    with raises_code("evaluate.different_media", first_medium="text", second_medium="image"):
        gl.Workspace(tales, rater="zoe").model("tales").arena(["x"], against="icons")


def test_a_model_is_not_compared_with_itself_by_name(
    arena: Callable[..., tuple[str, str]], tales: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tales))
    assert run(["arena", "tales", "--against", "tales/2", *ROUND]) == 2
    assert "[api.arena_same_model]" in capsys.readouterr().err


def test_the_old_name_of_a_method_is_accepted(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from genloom.learn import round as learning
    from genloom.settings import parse_settings
    from genloom.train.preference.config import PreferenceConfig

    requests: list[Any] = []

    def record_request(store: Workspace, ledger: Any, request: Any) -> Iterator[Any]:
        requests.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "learn", record_request)
    for method in ("policy", "grpo"):
        assert run(["learn", "icons", "--method", method]) == 130
    assert [request.method for request in requests] == ["grpo", "grpo"]
    assert parse_settings(PreferenceConfig, {"method": "policy"}, "learning").method == "grpo", "as in old jobs"
