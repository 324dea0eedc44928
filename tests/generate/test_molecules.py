"""Generation of molecules: goals, scaffolds, links and likeness are kept to, what is not asked for is not handed out.

One tiny model, trained in seconds on chains and rings, goes through every verb.
"""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.cli import run
from genloom.codecs.smiles import Codec as SmilesCodec
from genloom.generate import engine
from genloom.generate.molecule import (
    EditOptions,
    MoleculeEdit,
    build_edit,
    has_fragments,
    mask_source,
    templates,
    unpack_edit,
)
from genloom.generate.molecule.ranges import draw_between, draw_conditions, find_cautions
from genloom.generate.molecule.segments import SegmentConstraint
from genloom.generate.output_records import replay_output
from genloom.generate.selection import Judgement, Selection, build_selection
from genloom.media import molecule as medium
from genloom.media.molecule.facts import NOTICE
from genloom.media.molecule.goals import parse_goals
from genloom.media.molecule.molecule import Molecule, find_mol, parse_smiles, to_mol
from genloom.model import Model, load_model
from tests.errors import raises_code

HEADS = ("", "O", "N", "Cl", "OC", "FC", "NC(=O)", "CC(=O)")
TAILS = ("C", "CC", "CCC", "CCCC", "C(C)C", "CC(C)C", "c1ccccc1", "Cc1ccccc1", "CCc1ccccc1", "c1ccc(C)cc1", "C1CCCCC1")
ENDS = ("", "O", "N", "F", "Cl", "OC")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    """A workspace with the data set `chains` and the model `chains`, which fills gaps and reads two conditions."""
    folder = tmp_path_factory.mktemp("molecules")
    texts = ["".join(parts) for parts in itertools.product(HEADS, TAILS, ENDS)]
    lines = sorted({parse_smiles(text).smiles for text in texts if "1" not in text[-1:]})
    (folder / "chains.smi").write_text("\n".join(lines))
    workspace = gl.Workspace(folder / "workspace")
    workspace.collect(folder / "chains.smi", descriptors="logp,mw,rings", licence="mine")
    settings = {
        "codec": {"infill": 0.5},
        "network": {"width": 32, "depth": 2, "heads": 2},
        "conditions": {"logp": {"name": "columns"}, "mw": {"name": "columns"}},
        "batch_size": 16,
    }
    flags = [f"--set={path}={value}" for path, value in flatten(settings)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLOOM_HOME", str(workspace.folder))
        assert run(["train", "chains", "--steps", "100", *flags]) == 0
    return workspace


def flatten(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in settings.items():
        pairs += flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return pairs


@pytest.fixture(scope="module")
def model(workspace: gl.Workspace) -> Model:
    return load_model(workspace.store, "chains")


@pytest.fixture
def genloom(workspace: gl.Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line over the workspace; returns the result, or the code of the error."""
    monkeypatch.setenv("GENLOOM_HOME", str(workspace.folder))

    def call(*arguments: str) -> Any:
        code = run([*arguments, "--json"])
        out, err = capsys.readouterr()
        return json.loads(out) if code == 0 else err.rstrip().rpartition("[")[2].rstrip("]")

    return call


# Templates: what a model writes around.


@pytest.mark.parametrize(
    "text", ["c1ccc2[nH]ccc2c1", "[*]c1ccc([*])cc1", "O=C1CN(c2ccccc2)[C@@H]([*])C1", "C[*]", "[*]C[*]"]
)
def test_a_scaffold_with_its_gaps_filled_is_a_molecule_with_it(text: str) -> None:
    scaffold = templates.read_scaffold(text)
    query, rng = templates.build_query(scaffold), np.random.default_rng(0)
    for _ in range(20):
        template = templates.draw_scaffold_template(scaffold, rng)
        written = template.pieces[0]
        for closing, piece in zip(template.closings, template.pieces[1:], strict=True):
            written += {"branch": "CC)", "end": "CC", "chain": "CC"}[closing] + piece
        mol = to_mol(parse_smiles(written))
        assert mol.HasSubstructMatch(query, useChirality=True), written
        assert mol.GetNumHeavyAtoms() >= scaffold.GetNumHeavyAtoms() + 2


def test_fragments_are_joined_at_their_points_in_either_order() -> None:
    text = "[*]c1ccccc1.[*]C1CCNCC1"
    fragments, rng, orders = templates.read_fragments(text), np.random.default_rng(0), set()
    for _ in range(20):
        template = templates.draw_link_template(*fragments, rng)
        first, second = template.pieces
        mol = to_mol(parse_smiles(f"{first}CO{second}"))
        assert has_fragments(mol, text)
        orders.add("N" in first)
    assert orders == {True, False}
    assert not has_fragments(to_mol(Molecule("c1ccccc1")), text)
    assert not has_fragments(to_mol(Molecule("C1CCNCC1CCC1CCNCC1")), text)


def test_a_share_of_a_molecule_is_left_to_the_model() -> None:
    value, rng = parse_smiles("CC(=O)Oc1ccccc1C(=O)O"), np.random.default_rng(0)
    lengths = {share: [] for share in (0.1, 0.5, 1.0)}
    for share, found in lengths.items():
        for _ in range(20):
            template = templates.draw_gap_template(value, share, rng)
            found.append(sum(map(len, template.pieces)))
    means = [float(np.mean(lengths[share])) for share in (0.1, 0.5, 1.0)]
    assert means[0] > means[1] > means[2] == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CC(C", "molecule.bad_smiles"),
        ("C.C", "molecule.scaffold_parts"),
        ("*", "molecule.scaffold_parts"),
        ("C=*", "molecule.bad_attachment"),
        ("*1CC1", "molecule.bad_attachment"),
        ("FC(F)(F)F", "molecule.scaffold_closed"),
        ("C" * 300, "molecule.too_many_atoms"),
    ],
)
def test_an_impossible_scaffold_is_refused(text: str, code: str) -> None:
    with raises_code(code):
        templates.read_scaffold(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [("CC", "molecule.link_parts"), ("C*.CC", "molecule.link_points"), ("*C*.*C", "molecule.link_points")],
)
def test_fragments_need_one_point_each(text: str, code: str) -> None:
    with raises_code(code):
        templates.read_fragments(text)


# Options that contradict each other.


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"scaffold": "c1ccccc1", "like": "aspirin"}, "molecule.edit_contradiction"),
        ({"link": "*C.*C", "scaffold": "C"}, "molecule.edit_contradiction"),
        ({"vary": 0.3}, "molecule.similarity_without_source"),
        ({"goal": "mw<100", "scaffold": "c1ccc2ccccc2c1"}, "molecule.goal_below_scaffold"),
        ({"goal": "rings=0", "scaffold": "c1ccccc1"}, "molecule.goal_below_scaffold"),
        ({"goal": "logp>3 logp<2"}, "molecule.goal_contradiction"),
        ({"goal": "wit>3"}, "molecule.property_unknown"),
        ({"like": "asprin"}, "molecule.unknown_name"),
        ({"like": ""}, "molecule.unsuitable_value"),
        ({"like": "C[*]"}, "molecule.unsuitable_value"),
        ({"scaffold": "C" * 300}, "molecule.unsuitable_value"),
        ({"link": "*C.*" + "C" * 300}, "molecule.unsuitable_value"),
        ({"like": __file__}, "molecule.value_is_file"),
        ({"like": "aspirin", "vary": 1.5}, "generate.bad_edit_option"),
        ({"goal": "mw<400", "budget": 0}, "generate.bad_edit_option"),
        ({"source": Path("nowhere.smi"), "vary": 0.3}, "media.unreadable_file"),
    ],
)
def test_contradictory_and_impossible_options_are_refused(model: Model, options: dict[str, Any], code: str) -> None:
    with raises_code(code):
        build_edit(EditOptions(**options), model)


def test_an_edit_comes_back_from_its_record(model: Model) -> None:
    for options in (
        EditOptions(goal="logp=1..2 mw<200", budget=50),
        EditOptions(scaffold="[*]c1ccccc1"),
        EditOptions(link="*C.*C"),
        EditOptions(like="aspirin", vary=0.5, similarity=0.3),
    ):
        edit = build_edit(options, model)
        record = json.loads(json.dumps(edit.pack(medium, lambda data, suffix: "")))
        assert vars(unpack_edit(record, medium, lambda digest: b"")) == vars(edit)


# Conditions and constraint.


def test_conditions_are_drawn_within_the_ranges_of_goals(model: Model) -> None:
    goals = parse_goals("logp=1..2 mw<120 qed>0.5")
    drawn = [draw_conditions(model, goals, nonce) for nonce in range(50)]
    assert drawn[0] == draw_conditions(model, goals, 0)
    assert {*drawn[0]} == {"logp", "mw"}  # the model has no other
    assert all(1 <= each["logp"] <= 2 and each["mw"] <= 120 for each in drawn)
    assert len({each["logp"] for each in drawn}) > 10
    assert draw_between(50, float("inf"), 0, 1, 0.5) == 50  # far from the data: the nearest end
    edit = MoleculeEdit(goals)
    request = engine.build_request(["", ""], 1, 1, (), {}, given={"logp": 0.5})
    extended = edit.extend_request(model, request)
    assert [row["logp"] for row in extended.given] == [0.5, 0.5]  # what a person gives wins
    assert all(row["mw"] <= 120 for row in extended.given)


def test_the_pieces_of_a_template_are_written_whatever_the_model_prefers(model: Model) -> None:
    codec, rng = model.codec, np.random.default_rng(0)
    assert isinstance(codec, SmilesCodec)
    scaffold = templates.read_scaffold("[*]c1ccc([*])cc1")
    rows = [templates.draw_scaffold_template(scaffold, rng) for _ in range(8)]
    prompts = [np.concatenate([[codec.space.bos], codec.encode_text(row.pieces[0])]) for row in rows]
    base = codec.build_constraint([""] * 8, 60)
    constraint = SegmentConstraint(base, codec, rows, [len(ids) for ids in prompts])
    contexts = [np.array(ids, np.int64) for ids in prompts]
    is_simple = np.array(
        [codec.decode([token]).smiles in ("C", "O", "F", "(", ")") for token in range(codec.space.vocab_size)]
    )
    is_simple[codec.space.eos] = True
    for _ in range(60):
        allowed = constraint(contexts)
        assert allowed.any(1).all()
        choices = [np.flatnonzero(row & is_simple if (row & is_simple).any() else row) for row in allowed]
        tokens = [int(rng.choice(each)) for each in choices]
        contexts = [np.append(ids, token) for ids, token in zip(contexts, tokens, strict=True)]
    query = templates.build_query(scaffold)
    for ids in contexts:
        mol = find_mol(codec.decode(ids[1:]))
        assert mol is not None
        assert mol.HasSubstructMatch(query)


def test_a_masked_model_keeps_the_rest_of_a_molecule(model: Model) -> None:
    codec: Any = SimpleNamespace(space=model.codec.space, encode=model.codec.encode)
    source = parse_smiles("CCCCCO")
    rows = mask_source(codec, source, 0.5, [np.random.default_rng(seed) for seed in range(5)])
    assert (rows[:, 0] == codec.space.bos).all()
    assert ((rows == -1).sum(1) == 3).all()
    assert len({tuple(row) for row in rows}) > 1


# The choice of outputs.


class EvenLengths:
    """An edit that asks for an even number of atoms."""

    needs_start, budget = False, 300

    def prepare(self, model: Model, request: engine.Request) -> Any:
        return MoleculeEdit().prepare(model, request)

    def extend_request(self, model: Model, request: engine.Request) -> engine.Request:
        return request

    def judge(self, value: Molecule) -> Judgement:
        count = medium.count_units(value)
        return Judgement(count % 2 == 0, 1 / (1 + count), "too long" if count > 12 else "")


def select(model: Model, count: int, budget: int = 300) -> tuple[Selection, list[tuple[Molecule, Any]]]:
    edit = EvenLengths()
    edit.budget = budget
    request = engine.build_request([""], count, 1, (), {"temperature": 1.0})
    selection = build_selection(model, engine.replace(request, edit=edit))
    assert selection is not None
    drafts = []
    for batch in selection.iter_batches():
        drafts.append(engine.run_request(model, batch))
        selection.add(drafts[-1])
    return selection, [(drafts[each.batch].values[each.row], each.judgement) for each in selection.choose()]


def test_outputs_are_generated_until_enough_meet_what_was_asked(model: Model) -> None:
    selection, chosen = select(model, 10)
    assert len(chosen) == 10
    assert all(medium.count_units(value) % 2 == 0 and medium.count_units(value) <= 12 for value, _ in chosen)
    assert len({medium.identify_value(value) for value, _ in chosen}) == 10
    scores = [judgement.score for _, judgement in chosen]
    assert scores == sorted(scores, reverse=True)
    report = selection.report
    assert report.num_met >= 10
    assert report.num_generated == report.withheld.total() + len(selection.candidates)


def test_a_budget_ends_the_search_and_the_nearest_follow(model: Model) -> None:
    selection, chosen = select(model, 40, 40)
    assert selection.report.num_generated == 40
    assert 0 < selection.report.num_met < 40
    flags = [judgement.is_met for _, judgement in chosen]
    assert flags == sorted(flags, reverse=True)
    assert selection.report.num_met == sum(flags)


def test_one_seed_gives_one_choice(model: Model) -> None:
    assert [value for value, _ in select(model, 5)[1]] == [value for value, _ in select(model, 5)[1]]


# The command line.


def test_goals_are_met_or_it_is_said_how_far(genloom: Any, workspace: gl.Workspace, tmp_path: Path) -> None:
    goal = "logp=0..2 mw<130"
    result = genloom(
        "generate", "chains", "--goal", goal, "--count", "6", "--seed", "1", "--out", str(tmp_path / "a.sdf")
    )
    assert result["selection"]["met"] >= 6
    goals = parse_goals(goal)
    for output in result["outputs"]:
        value = workspace.output(output["id"]).value
        assert goals.check(value).is_met
        assert output["judgement"]["is_met"]
        assert output["judgement"]["values"]["mw"] < 130
        assert replay_output(workspace.store, output["id"])[1] == value
    text = (tmp_path / "a.sdf").read_text()
    assert text.count("$$$$") == 6
    assert text.count(NOTICE) >= 6
    scarce = genloom("generate", "chains", "--goal", "mw>150 qed>0.9", "--count", "3", "--budget", "20", "--seed", "1")
    assert scarce["selection"]["generated"] <= 20
    assert scarce["selection"]["met"] == sum(output["judgement"]["is_met"] for output in scarce["outputs"])


def test_a_goal_outside_of_the_training_data_is_said_with_their_range(
    model: Model, workspace: gl.Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_cautions(model, parse_goals("logp=1..2 mw<200 logp=1.5..1.50001 qed>0.99")) == ()
    low, high = find_cautions(model, parse_goals("logp<-30 mw>3000"))
    assert low.startswith("The goal logp<-30 is outside of what chains/1 has learned: logp of its training data is")
    assert high.startswith("The goal mw>3000 is outside of what chains/1 has learned: mw of its training data is")
    monkeypatch.setenv("GENLOOM_HOME", str(workspace.folder))
    edit = build_edit(EditOptions(goal="mw>3000"), model)
    selection = build_selection(model, replace(engine.build_request([""], 1, 1, (), {}), edit=edit))
    assert selection is not None
    assert selection.report.to_dict()["cautions"] == [high]
    run(["generate", "chains", "--goal", "mw>3000", "--budget", "5", "--seed", "1"])  # may find nothing to hand out
    assert capsys.readouterr().err.count(high) == 1


@pytest.mark.parametrize("codec_fills", [True, False])
def test_scaffolds_and_links_are_in_every_output(
    genloom: Any, workspace: gl.Workspace, codec_fills: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not codec_fills:
        monkeypatch.setattr("genloom.generate.molecule.can_fill_gaps", lambda codec: False)
    result = genloom("generate", "chains", "--scaffold", "c1ccccc1", "--count", "4", "--seed", "1", "--budget", "300")
    query = templates.build_query(templates.read_scaffold("c1ccccc1"))
    values = [workspace.output(output["id"]).value for output in result["outputs"]]
    assert values
    assert all(to_mol(value).HasSubstructMatch(query) for value in values)
    link = "[*]c1ccccc1.[*]CO"
    result = genloom("generate", "chains", "--link", link, "--count", "3", "--seed", "1", "--budget", "300")
    assert all(has_fragments(to_mol(workspace.output(output["id"]).value), link) for output in result["outputs"])


def test_variations_are_like_their_source_and_not_the_same(
    genloom: Any, workspace: gl.Workspace, tmp_path: Path
) -> None:
    source = parse_smiles("CCc1ccccc1")
    medium.save(medium.Item(source), tmp_path / "source.smi")
    arguments = ["--vary", "0.3", "--similarity", "0.3", "--count", "4", "--seed", "1", "--budget", "300"]
    result = genloom("generate", "chains", "--source", str(tmp_path / "source.smi"), *arguments)
    for output in result["outputs"]:
        assert output["judgement"]["similarity"] >= 0.3
        assert medium.identify_value(workspace.output(output["id"]).value) != source.smiles
        assert genloom("generate", "--replay", output["id"])["identical"]


def test_a_prompt_is_the_beginning_and_words_are_sent_to_the_goals(genloom: Any, workspace: gl.Workspace) -> None:
    result = genloom("generate", "chains", "--prompt", "CCC", "--count", "2", "--seed", "1")
    assert all(Path(output["file"]).read_text().startswith("CCC") for output in result["outputs"])
    assert genloom("generate", "chains", "--prompt", "a small amine") == "molecule.unknown_name"
    assert genloom("generate", "chains", "--vary", "0.5") == "molecule.similarity_without_source"
    assert genloom("generate", "chains", "--bars", "4") == "cli.edit_of_other_medium"


def test_without_outputs_to_hand_out_there_is_an_error(genloom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medium, "screen_value", lambda value: "withheld for a test")
    assert genloom("generate", "chains", "--seed", "1") == "generate.nothing_selected"


def test_a_user_goes_through_every_verb(genloom: Any, workspace: gl.Workspace, tmp_path: Path) -> None:
    (listed,) = genloom("list", "data")["data"]
    assert (listed["medium"], listed["licences"]) == ("molecule", {"mine": listed["documents"]})
    report = genloom("evaluate", "chains/1", "--samples", "8")
    assert report["bits_per_heavy_atom"]["mean"] > 0
    result = genloom("generate", "chains", "--count", "4", "--seed", "3", "--sheet", "--out", str(tmp_path / "outputs"))
    ids = [output["id"] for output in result["outputs"]]
    assert len(list((tmp_path / "outputs").glob("*.smi"))) == 4
    assert Path(result["sheet"]).suffix == ".png"
    assert genloom("generate", "--replay", ids[0])["identical"]
    genloom("rate", ids[0], "--up")
    genloom("rate", "--pair", *ids[:2], "--winner", "a")
    tuned = genloom("train", "chains", "--from", "chains", "--name", "tuned", "--steps", "3")
    assert tuned["ref"] == "tuned/1"
    assert genloom("compare", "chains/1", "tuned/1")["verdict"]
    genloom("generate", "chains", "--count", "160", "--seed", "4")
    checked = genloom("rate", "chains", "--check", "goal:mw<60")
    assert checked["choices"] > 40
    learned = genloom("learn", "chains", "--steps", "2", "--check", "goal:mw<60", "--max-eval-prompts", "4")
    assert isinstance(learned, dict), learned
    assert (learned["champion"], learned["challenger"]) == ("chains/1", "chains/2")
    genloom("forget", "chains", "--rater", "check-goal")
    assert genloom("doctor", "--verify")["problems"] == []
