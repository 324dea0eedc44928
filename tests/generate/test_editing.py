"""Editing of a medium that has none of its own: tokens that are kept, continued or filled in, and signals."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from genloom import plugins
from genloom.generate import default, engine
from genloom.generate.default import EditOptions, SourceEdit, build_edit, parse_fill
from genloom.generate.engine import Request, run_request
from genloom.generate.output_records import replay_output, store_outputs
from genloom.model import Model, build_networks, build_objective, load_model
from genloom.store.workspace import Workspace
from genloom.types import Codec, SignalSpace
from tests.errors import raises_code

TALE = "The old king saw the red boat."


@pytest.fixture(scope="module")
def workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")


@pytest.fixture(scope="module")
def writer(workspace: Workspace) -> Model:
    return load_model(workspace, "tales")


@pytest.fixture(scope="module")
def filler(workspace: Workspace) -> Model:
    return load_model(workspace, "masks")


def edit_request(edit: SourceEdit, count: int = 3, **params: Any) -> Request:
    return replace(engine.build_request([""], count, 1, (), params), edit=edit)


def test_a_masked_model_fills_the_middle_and_keeps_the_rest(filler: Model) -> None:
    draft = run_request(filler, edit_request(SourceEdit(TALE, (0.3, 0.6))))
    begin, end = round(0.3 * len(TALE)), round(0.6 * len(TALE))
    assert all(value.startswith(TALE[:begin]) for value in draft.values)
    assert all(value.encode().endswith(TALE[end:].encode()) for value in draft.values)
    assert len({value[begin:end] for value in draft.values}) == 3


def test_a_causal_model_continues_the_beginning(writer: Model) -> None:
    draft = run_request(writer, edit_request(SourceEdit(TALE, (0.5, 1.0)), max_tokens=20))
    half = TALE[: len(TALE) // 2]
    assert all(value == half + text for value, text in zip(draft.values, draft.continuations, strict=True))
    assert len(set(draft.values)) == 3
    with_prompt = replace(edit_request(SourceEdit(TALE), max_tokens=20), prompts=(half,) * 3, edit=None)
    assert run_request(writer, with_prompt).values == draft.values


def test_what_the_model_cannot_do_is_refused(writer: Model, filler: Model) -> None:
    for model, edit, code in (
        (writer, SourceEdit(TALE, (0.2, 0.5)), "fill_needs_masked"),
        (filler, SourceEdit(TALE, (0.5, 0.5)), "empty_fill"),
        (filler, SourceEdit(TALE * 3, (0.5, 1.0)), "source_too_long"),
        (filler, SourceEdit(TALE, None, 0.5), "strength_of_tokens"),
    ):
        with raises_code(f"generate.{code}"):
            run_request(model, edit_request(edit))
    with raises_code("generate.prompt_with_edit"):
        run_request(writer, replace(edit_request(SourceEdit(TALE, (0.5, 1.0)), 1), prompts=("Zoë",)))


@pytest.mark.parametrize(("name", "fill"), [("tales", (0.5, 1.0)), ("masks", (0.3, 0.6))])
def test_an_edited_output_replays(workspace: Workspace, name: str, fill: tuple[float, float]) -> None:
    model = load_model(workspace, name)
    request = edit_request(SourceEdit(TALE, fill), **({"max_tokens": 12} if name == "tales" else {}))
    draft = run_request(model, request)
    for output, value in zip(store_outputs(workspace, model, request, draft), draft.values, strict=True):
        assert replay_output(workspace, output)[1] == value
        assert workspace.get_output(output)[1]["medium"] == "text"


def test_options_become_an_edit(filler: Model, tmp_path: Path) -> None:
    source = tmp_path / "tale.txt"
    source.write_text(TALE)
    assert plugins.find_medium_part("editing", filler.design.medium) is default
    edit = build_edit(EditOptions(source, "0.25:"), filler)
    assert (edit.value, edit.fill, edit.strength) == (TALE, (0.25, 1.0), 1.0)
    for options, code in (
        (EditOptions(fill="0:1"), "edit_without_source"),
        (EditOptions(source), "source_without_edit"),
        (EditOptions(source, strength=2.0), "bad_edit_option"),
    ):
        with raises_code(f"generate.{code}"):
            build_edit(options, filler)
    for text in ("0.5", "1:0", "a:b", "-1:1", "0:2"):
        with raises_code("generate.bad_fill", value=text):
            parse_fill(text)


# signals


@dataclass(frozen=True)
class WaveCodec:
    """A sound as it is: one channel of 16 numbers."""

    space = SignalSpace(1, (16,))

    def encode(self, value: np.ndarray) -> np.ndarray:
        return value[None].astype(np.float32)

    def decode(self, x: Any) -> np.ndarray:
        return np.asarray(x)[0]

    def decode_many(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self.decode(row) for row in rows]


@pytest.fixture(scope="module")
def sampler(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Model:
    workspace = Workspace(tmp_path_factory.mktemp("pictures"))
    worlds.create_blots(workspace, 16)
    blots = load_model(workspace, "blots")
    design = replace(blots.design, medium="sound", text_encoder="", text_encoder_settings={})
    objective = build_objective(design, WaveCodec.space)
    parts = build_networks(design, objective).eval()
    codec = cast(Codec, WaveCodec())
    return replace(blots, codec=codec, objective=objective, parts=parts, design=design, conditioners={})


def test_a_signal_is_varied_continued_and_filled_along_its_first_axis(sampler: Model) -> None:
    value = np.linspace(-1, 1, 16).astype(np.float32)

    def generate_signals(edit: SourceEdit) -> np.ndarray:
        return np.stack(run_request(sampler, edit_request(edit, steps=4)).values)

    for fill, kept in (((0.5, 1.0), slice(0, 8)), ((0.0, 0.25), slice(4, 16))):
        made = generate_signals(SourceEdit(value, fill))
        np.testing.assert_allclose(made[:, kept], np.tile(value[kept], (3, 1)), atol=1e-6)
        assert np.abs(made - value).max() > 0.1
    little, much = (np.abs(generate_signals(SourceEdit(value, None, s)) - value).mean() for s in (0.05, 0.9))
    assert little < much


def test_a_vector_has_no_part_to_fill(sampler: Model) -> None:
    codec = cast(Any, SimpleNamespace(space=SignalSpace(3), encode=lambda value: value))
    with raises_code("generate.fill_without_axis"):
        SourceEdit(np.zeros(3), (0.0, 0.5)).prepare(replace(sampler, codec=codec), Request(("",), (0,)))
