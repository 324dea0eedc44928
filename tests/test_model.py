"""Models in the store: loaded as they were saved, refused with one clear error if they are damaged."""

import json
import runpy
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from genloom.model import (
    Design,
    build_networks,
    build_objective,
    load_model,
    resolve_space,
    save_compact,
    save_model,
    with_defaults,
)
from genloom.model.likelihood import compute_nll, to_bits_per_unit
from genloom.settings import to_toml
from genloom.store import built_in, manifest
from genloom.store.model_folder import is_essential_file
from genloom.store.workspace import Workspace
from tests.errors import raises_code


@pytest.fixture
def workspace(trained_copy: Workspace) -> Workspace:
    return trained_copy


def update_digests(workspace: Workspace, ref: str = "tales/1") -> None:
    """Recompute the digests, so that only the content is wrong."""
    folder = workspace.root / "models" / ref
    manifest.finalize_manifest(folder, "card.json", is_essential_file, {"name": ref.split("/")[0]})


def test_a_model_loads_as_it_was_saved(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    stored = load_file(workspace.root / "models/tales/1/weights.safetensors")
    weights = model.parts.state_dict()
    assert weights.keys() - stored.keys() <= {"model.head.weight"}
    assert all(torch.equal(weights[name], tensor) for name, tensor in stored.items())
    assert not any(part.training for part in model.parts.modules())
    assert not any(p.requires_grad for p in model.parts.parameters())
    assert (model.ref, model.name, model.design.medium) == ("tales/1", "tales", "text")
    assert load_model(workspace, "tales/1").ref == "tales/1"


def test_a_tied_head_is_stored_once(workspace: Workspace) -> None:
    shape = {"width": 32, "depth": 1, "heads": 2, "tie_embeddings": True}
    tales = load_model(workspace, "tales")
    design = replace(tales.design, objective="autoregressive", network="transformer", network_settings=shape)
    design = replace(with_defaults(design), objective_settings={})
    objective = build_objective(design, resolve_space(design, tales.codec))
    parts = build_networks(design, objective)
    staged = workspace.create_model("tied")
    with staged as folder:
        save_model(replace(tales, objective=objective, parts=parts, design=design), folder, design.to_tables(), {})
    stored = load_file(staged.result.folder / "weights.safetensors")
    assert "model.head.weight" not in stored
    weights = load_model(workspace, "tied").parts.state_dict()
    assert torch.equal(weights["model.head.weight"], stored["model.embedding.embed.weight"])


def test_weights_of_16_bits_in_several_files_open_as_those_of_32(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.model.save.MAX_FILE_BYTES", 20_000)
    tales = load_model(workspace, "tales")
    staged = workspace.create_model("small")
    with staged as folder:
        save_compact(tales, folder, tales.design.to_tables(), {})
    assert len(staged.result.weights) > 1
    assert all(path.stat().st_size < 25_000 for path in staged.result.weights)
    small = load_model(workspace, "small").parts.state_dict()
    for name, tensor in tales.parts.state_dict().items():
        rounded = tensor.to(torch.bfloat16).float() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        assert torch.equal(small[name], rounded), name
    path = staged.result.weights[1]
    path.write_bytes(b"something else")
    with raises_code("store.damaged", path=path):
        load_model(workspace, "small")


def test_loading_a_model_uses_no_random_numbers(workspace: Workspace) -> None:
    """Initialising weights that are overwritten at once would take longer than loading them."""
    before = torch.get_rng_state()
    first, second = load_model(workspace, "tales"), load_model(workspace, "tales")
    assert torch.equal(before, torch.get_rng_state())
    for name, tensor in [*first.parts.named_parameters(), *first.parts.named_buffers()]:
        assert torch.equal(
            tensor, {**dict(second.parts.named_parameters()), **dict(second.parts.named_buffers())}[name]
        )


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("tale", "store.unknown_name_near"),
        ("tales/9", "store.no_such_version"),
        ("tales/x", "store.bad_model_ref"),
        ("../tales", "store.bad_name_ends"),
    ],
)
def test_an_unknown_model_is_refused(workspace: Workspace, ref: str, code: str) -> None:
    with raises_code(code) as caught:
        load_model(workspace, ref)
    assert "\n" not in str(caught.value)


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("file", ["weights.safetensors", "job.toml", "codec/codec.json"])
@pytest.mark.parametrize("damage", [flip_bit, truncate, Path.unlink])
def test_a_damaged_file_is_named(workspace: Workspace, file: str, damage) -> None:
    path = workspace.root / "models/tales/1" / file
    if damage is truncate and path.stat().st_size < 200:
        path.write_text("")
    else:
        damage(path)
    with raises_code("store.damaged", path=path) as caught:
        load_model(workspace, "tales")
    assert "\n" not in str(caught.value)


def test_weights_of_other_shapes_are_refused(workspace: Workspace) -> None:
    path = workspace.root / "models/tales/1/weights.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({**weights, name: weights[name][:-1].contiguous()}, path)
    update_digests(workspace)
    with raises_code("model.bad_weights", path=path):
        load_model(workspace, "tales")
    save_file({k: v for k, v in weights.items() if k != name}, path)
    update_digests(workspace)
    with raises_code("model.bad_weights", path=path):
        load_model(workspace, "tales")
    path.write_bytes(b"no weights at all")
    update_digests(workspace)
    with raises_code("model.bad_weights", path=path):
        load_model(workspace, "tales")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"network": {"name": "tranformer"}}, "core.unknown_part", "transformer"),
        ({"network": {"name": "os.system"}}, "core.unknown_part", "os.system"),
        ({"objective": {"name": "autoregresive"}}, "core.unknown_part", "autoregressive"),
        ({"codec": {"name": "byte"}}, "core.unknown_part", "bytes"),
        ({"network": {"name": "transformer", "widht": 3}}, "core.unknown_setting", "width"),
        ({"context_length": "long"}, "model.int_setting", "context_length"),
        ({"objective": {"name": "variational"}}, "model.objective_unfit", "variational"),
    ],
)
def test_an_invalid_job_is_refused(workspace: Workspace, changes: dict, code: str, field: str) -> None:
    path = workspace.root / "models/tales/1/job.toml"
    path.write_text(to_toml({**tomllib.loads(path.read_text()), **changes}))
    update_digests(workspace)
    with raises_code("model.unopenable", ref="tales/1") as caught:
        load_model(workspace, "tales")
    reason = caught.value.fields["reason"]
    assert reason.code == code
    assert field in " ".join(map(str, reason.fields.values()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [("job.toml", "name = "), ("codec/codec.json", "{}"), ("codec/codec.json", "["), ("codec/codec.json", None)],
)
def test_a_broken_job_or_codec_is_one_clear_error(workspace: Workspace, file: str, content: str | None) -> None:
    path = workspace.root / "models/tales/1" / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    update_digests(workspace)
    with raises_code("model.unopenable", ref="tales/1") as caught:
        load_model(workspace, "tales")
    assert "\n" not in str(caught.value)


def test_a_card_records_the_origin_of_a_model(workspace: Workspace, worlds: ModuleType) -> None:
    card = workspace.get_model("tales").card
    assert card["data"]["name"] == "tales"
    assert card["data"]["licences"] == {"CC0-1.0": 60}
    assert card["parameters"] == sum(p.numel() for p in load_model(workspace, "tales").parts.parameters())
    assert card["fact"]["steps"] == 200
    assert card["machine"]["torch"] == torch.__version__
    json.dumps(card)


def test_with_defaults_writes_every_setting() -> None:
    design = Design("bytes", "masked", "transformer", 32, network_settings={"width": 16, "heads": 2})
    complete = with_defaults(design)
    assert complete.network_settings["width"] == 16
    assert complete.network_settings["norm_eps"] == 1e-5
    assert with_defaults(complete) == complete
    assert Design.from_job(tomllib.loads(to_toml(complete.to_tables()))) == complete


def test_the_context_length_is_that_of_the_job() -> None:
    from genloom.codecs.bytes import Codec, Config

    design = Design("bytes", "autoregressive", "transformer", 32, network_settings={"width": 16, "heads": 2})
    codec = Codec.fit((), Config())
    objective = build_objective(design, resolve_space(design, codec))
    assert resolve_space(design, codec) == replace(codec.space, context_length=32)
    assert build_networks(design, objective)["model"].window == 32


def test_a_trained_model_is_built_into_the_package(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    monkeypatch.setattr(
        sys, "argv", ["build_in.py", "tales/1", "--name", "packaged", "--workspace", str(workspace.root)]
    )
    runpy.run_path(str(Path(__file__).parents[1] / "tools" / "build_in.py"), run_name="__main__")
    assert "packaged/1" in capsys.readouterr().out
    made, source = workspace.get_model("packaged"), workspace.get_model("tales")
    made.verify()
    assert made.folder == built_in.FOLDER / "packaged" / "1"
    assert made.card["data"] == source.card["data"]
    assert made.card["files"]["weights.safetensors"]["bytes"] < source.card["files"]["weights.safetensors"]["bytes"]
    text = "Nobody saw the sea. " * 5
    bits = [to_bits_per_unit(compute_nll(load_model(workspace, name), [text])) for name in ("packaged", "tales")]
    assert bits[0] == pytest.approx(bits[1], rel=0.02)
