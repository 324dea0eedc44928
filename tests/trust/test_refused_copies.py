"""Outputs that copy training data are withheld in every medium, by what its `copies` part finds.

A tiny untrained model of each medium generates; its first output becomes a training document, and the same request
then hands out everything but that.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import genloom as gl
from genloom import plugins
from genloom.api.copies import find_copied_rows, find_searchable_data
from genloom.api.generation import GenerationProgress
from genloom.api.outputs import Output
from genloom.codecs import bytes as byte_codec
from genloom.codecs import density, notes, pixels, selfies, waveform
from genloom.media.audio.sound import make_sound
from genloom.media.design.structure import Structure
from genloom.media.molecule.molecule import Molecule
from genloom.model import Design, Model, build_networks, build_objective, save_model
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.types import Codec
from tests.errors import raises_code
from tests.evaluate.test_music import compose
from tests.sounds import make_noise
from tests.worlds import make_tales

SYMBOLS = ("[C]", "[N]", "[O]", "[F]", "[=C]", "[Branch1]", "[Ring1]", "[S]")
FLOW = {"objective": "flow", "network": "dit"}
TOKENS = {"objective": "autoregressive", "network": "transformer"}
TRANSFORMER = {"width": 16, "depth": 1, "heads": 2}
UNET = {"width": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "head_width": 8, "attention_max_positions": 16}


@dataclass(frozen=True)
class Case:
    """A medium with a tiny model, and documents of it that its outputs are not like."""

    design: Design
    codec: Any
    make: Callable[[int], Any]  # a document by its number
    copy: Callable[[Any], Any]  # a near copy
    params: Mapping[str, Any] = field(default_factory=dict)


def make_molecule(number: int) -> Molecule:
    rng = np.random.default_rng(number)
    parts = rng.choice(["c1ccccc1", "C(=O)N", "CCO", "C1CCNCC1", "c1ccncc1", "S(=O)(=O)", "C(F)(F)", "OC"], 6)
    return Molecule("C" + "".join(map(str, parts)) + "C")


def make_design(number: int) -> Structure:
    rng = np.random.default_rng(number)
    return Structure(rng.integers(0, 2, (16, 16)).astype(np.uint8) * 255)


def make_picture(number: int) -> np.ndarray:
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3))
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def get_cases() -> dict[str, Case]:
    tokens: dict[str, Any] = {**TOKENS, "network_settings": TRANSFORMER, "context_length": 256}
    flow: dict[str, Any] = {**FLOW, "network_settings": {"width": 32, "depth": 2, "head_width": 16, "patch_size": 4}}
    small_flow: dict[str, Any] = {**FLOW, "network_settings": {"width": 16, "depth": 1, "head_width": 8}}
    size = (16, 16)
    sounds = waveform.Config(rate=16_000, hop=256, frames=64, scale=1.0)
    return {
        "text": Case(
            Design(codec="bytes", medium="text", **tokens),
            byte_codec.Codec(byte_codec.Config()),
            lambda number: make_tales(1, number)[0],
            lambda value: value[20:220],
            {"max_tokens": 120},
        ),
        "image": Case(
            Design(codec="pixels", medium="image", codec_settings={"size": 16}, **flow),
            pixels.Codec(pixels.Config(16)),
            make_picture,
            lambda value: (value ^ 1).astype(np.uint8),
            {"steps": 2},
        ),
        "music": Case(
            Design(codec="notes", medium="music", codec_settings={"context_length": 256}, **tokens),
            notes.Codec(("chorale", "folk tune"), notes.Config(256)),
            compose,
            lambda value: value.transpose(3),
        ),
        "molecule": Case(
            Design(codec="selfies", medium="molecule", codec_settings={"context_length": 64}, **tokens),
            selfies.Codec.fit([], selfies.Config(64, SYMBOLS)),
            make_molecule,
            lambda value: Molecule(value.smiles[:-1] + "CC"),
        ),
        "design": Case(
            Design(
                codec="density",
                medium="design",
                objective="flow",
                network="unet",
                network_settings=UNET,
                codec_settings={"size": size},
                conditions={"goals": {"name": "goals", "size": size}},
            ),
            density.Codec(density.Config(size)),
            make_design,
            lambda value: Structure(np.ascontiguousarray(np.rot90(value.levels))),
            {"goal": "a light bridge held at both ends", "refine": 1, "steps": 2, "budget": 6},
        ),
        "audio": Case(
            Design(
                codec="waveform",
                medium="audio",
                codec_settings={"rate": 16_000, "hop": 256, "frames": 64, "scale": 1.0},
                **small_flow,
            ),
            waveform.Codec(sounds),
            lambda number: make_noise(number, 1.0),
            lambda value: make_sound(0.5 * value.samples, value.rate),
            {"steps": 2},
        ),
    }


@pytest.fixture(scope="module", params=["text", "image", "music", "molecule", "design", "audio"])
def case(request: pytest.FixtureRequest) -> Case:
    for package in {"molecule": ["rdkit", "selfies"], "audio": ["soundfile"]}.get(request.param, []):
        pytest.importorskip(package)
    return get_cases()[request.param]


def create_data(workspace: Workspace, medium: str, train: list[Any], held_out: list[Any]) -> Dataset:
    part, values = plugins.find_part("medium", medium), [*train, *held_out]
    content = [part.encode(value) for value in values]
    columns: dict[str, list[Any]] = {
        "id": [hashlib.sha256(data).hexdigest() for data in content],
        "text": values if medium == "text" else [""] * len(values),
        "source": [f"document {number}" for number in range(len(values))],
        "licence": ["CC0-1.0"] * len(values),
        "split": ["train"] * len(train) + ["val"] * len(held_out),
        "bytes": [len(data) for data in content],
        **({} if medium == "text" else {"content": content}),
    }
    staged = workspace.create_dataset("documents")
    with staged as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"medium": medium, "licences": {"CC0-1.0": len(values)}}))
    return staged.result


def create_model(workspace: Workspace, case: Case, data: Dataset | None = None) -> str:
    """Save the model of a case with the same weights at every call, trained on these data as its card says."""
    codec = cast(Codec, case.codec)
    objective = build_objective(case.design, codec.space)
    parts = build_networks(case.design, objective)
    for number, weight in enumerate(parts.parameters()):
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(number))
    card = {} if data is None else {"data": {"name": data.name, "digest": data.digest}}
    staged = workspace.create_model("tiny")
    with staged as folder:
        save_model(Model("tiny", codec, objective, parts, case.design), folder, case.design.to_tables(), card)
    return staged.result.ref


def hash_value(output: Output) -> str:
    return hashlib.sha256(output.medium.encode(output.value)).hexdigest()


def test_every_medium_with_copies_is_here() -> None:
    assert get_cases().keys() == {*plugins.list_part_names("copies")} - {"default"}


def test_near_copies_are_found_and_new_values_are_not(case: Case, tmp_path: Path) -> None:
    workspace = gl.Workspace(tmp_path)
    train, held_out = [case.make(n) for n in range(8)], [case.make(n) for n in range(100, 112)]
    data = create_data(workspace.store, case.design.medium, train, held_out)
    ref = create_model(workspace.store, case, data)
    training_data = find_searchable_data(workspace, ref)
    values = [train[3], case.make(200), case.copy(train[5]), case.make(201)]
    assert find_copied_rows(training_data, values) == {0, 2}


def test_an_output_that_copies_is_withheld(case: Case, tmp_path: Path) -> None:
    workspace = gl.Workspace(tmp_path)
    request: Any = {"n": 4, "seed": 1, "is_marked": False, **case.params}
    first, *others = workspace.model(create_model(workspace.store, case)).generate(**request)
    train = [first.value, *(case.make(n) for n in range(7))]
    data = create_data(workspace.store, case.design.medium, train, [case.make(n) for n in range(100, 112)])
    model = workspace.model(create_model(workspace.store, case, data))
    before = len(workspace.outputs)
    events = list(model.iter_generate(refuse_copies=True, **request))
    outputs = [event for event in events if isinstance(event, Output)]
    steps = [event for event in events if isinstance(event, GenerationProgress)]
    assert steps[-1].num_withheld >= 1
    assert outputs
    assert len(workspace.outputs) == before + len(outputs)
    digests = {hash_value(output) for output in outputs}
    assert hash_value(first) not in digests
    assert not any(output.copies().is_beyond_chance for output in outputs)
    assert not any(len(step.draft.values) for step in steps if step.draft is not None), "no draft shows a copy"
    assert {hash_value(output) for output in others if not output.copies().is_beyond_chance} <= digests


def test_without_held_out_data_nothing_is_handed_out(case: Case, tmp_path: Path) -> None:
    workspace = gl.Workspace(tmp_path)
    data = create_data(workspace.store, case.design.medium, [case.make(n) for n in range(3)], [])
    model = workspace.model(create_model(workspace.store, case, data))
    with raises_code("api.copies_without_data", model=model.ref):
        model.generate(refuse_copies=True, **case.params)


def test_the_data_of_adapters_count(tmp_path: Path) -> None:
    workspace, case = gl.Workspace(tmp_path), get_cases()["text"]
    documents = ["".join(np.random.default_rng(number).choice(list("abcdefghijk "), 300)) for number in range(14)]
    refs = [
        create_model(
            workspace.store, case, create_data(workspace.store, "text", documents[first : first + 4], [held_out])
        )
        for first, held_out in ((0, documents[12]), (4, documents[13]))
    ]
    alone, both = find_searchable_data(workspace, refs[0]), find_searchable_data(workspace, refs[0], refs)
    copied = [documents[1], documents[6]]
    assert find_copied_rows(alone, copied) == {0}
    assert find_copied_rows(both, copied) == {0, 1}
    record = {"model": refs[0], "medium": "text", "written": documents[6], "adapters": {refs[1]: "", "gone/1": ""}}
    report = workspace.output(workspace.store.save_output(documents[6].encode(), ".txt", record)).copies()
    assert report.is_beyond_chance
    assert any("gone/1" in note for note in report.missing)
    with raises_code("api.copies_without_data"):
        find_searchable_data(workspace, refs[0], ["gone/1"])
