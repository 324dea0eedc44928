"""Models in the store: opened as they were written, refused with one clear error where they are not."""

import json
import runpy
import shutil
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
from genloom.model.likelihood import bits_per_byte, compute_nll
from genloom.settings import to_toml
from genloom.store import built_in, manifest
from genloom.store.model_folder import is_essential_file
from genloom.store.workspace import Workspace


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the workspace with models, to be spoilt."""
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def resealed(workspace: Workspace, ref: str = "tales/1") -> None:
    """Make the digests right again: what is wrong is then in the content."""
    folder = workspace.root / "models" / ref
    manifest.finalize(folder, "card.json", is_essential_file, {"name": ref.split("/")[0]})


def test_a_model_opens_as_it_was_stored(workspace: Workspace) -> None:
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
    making = workspace.create_model("tied")
    with making as folder:
        save_model(replace(tales, objective=objective, parts=parts, design=design), folder, design.to_tables(), {})
    stored = load_file(making.result.folder / "weights.safetensors")
    assert "model.head.weight" not in stored
    weights = load_model(workspace, "tied").parts.state_dict()
    assert torch.equal(weights["model.head.weight"], stored["model.embedding.embed.weight"])


def test_weights_of_16_bits_in_several_files_open_as_those_of_32(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.model.save.MAX_FILE_BYTES", 20_000)
    tales = load_model(workspace, "tales")
    making = workspace.create_model("small")
    with making as folder:
        save_compact(tales, folder, tales.design.to_tables(), {})
    assert len(making.result.weights) > 1
    assert all(path.stat().st_size < 25_000 for path in making.result.weights)
    small = load_model(workspace, "small").parts.state_dict()
    for name, tensor in tales.parts.state_dict().items():
        rounded = tensor.to(torch.bfloat16).float() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        assert torch.equal(small[name], rounded), name
    making.result.weights[1].write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"weights-2\.safetensors is damaged"):
        load_model(workspace, "small")


def test_opening_a_model_draws_nothing(workspace: Workspace) -> None:
    """What is overwritten at once would take longer to draw than to load."""
    before = torch.get_rng_state()
    first, second = load_model(workspace, "tales"), load_model(workspace, "tales")
    assert torch.equal(before, torch.get_rng_state())
    for name, tensor in [*first.parts.named_parameters(), *first.parts.named_buffers()]:
        assert torch.equal(
            tensor, {**dict(second.parts.named_parameters()), **dict(second.parts.named_buffers())}[name]
        )


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("tale", "There is no model 'tale'. Did you mean 'tales'?"),
        ("tales/9", "There is no version 9 of 'tales'. There is 1."),
        ("tales/x", "is not a model. Name one like 'tales'"),
        ("../tales", "The model name '..' must start with a letter or digit"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest(workspace: Workspace, ref: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        load_model(workspace, ref)
    assert words in str(caught.value)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("file", ["weights.safetensors", "job.toml", "codec/codec.json"])
@pytest.mark.parametrize("hurt", [flipped, cut, Path.unlink])
def test_a_damaged_file_is_named(workspace: Workspace, file: str, hurt) -> None:
    path = workspace.root / "models/tales/1" / file
    if hurt is cut and path.stat().st_size < 200:
        path.write_text("")
    else:
        hurt(path)
    with pytest.raises(ValueError, match=r"^[^\n]+ is damaged: [^\n]+Restore it from a backup") as caught:
        load_model(workspace, "tales")
    assert str(path) in str(caught.value)


def test_weights_of_other_shapes_are_refused(workspace: Workspace) -> None:
    path = workspace.root / "models/tales/1/weights.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({**weights, name: weights[name][:-1].contiguous()}, path)
    resealed(workspace)
    with pytest.raises(ValueError, match=r"^[^\n]+weights.safetensors: these weights do not fit[^\n]+Train it again.$"):
        load_model(workspace, "tales")
    save_file({k: v for k, v in weights.items() if k != name}, path)
    resealed(workspace)
    with pytest.raises(ValueError, match=r"^[^\n]+weights.safetensors: these weights do not fit"):
        load_model(workspace, "tales")
    path.write_bytes(b"no weights at all")
    resealed(workspace)
    with pytest.raises(ValueError, match=r"^[^\n]+weights.safetensors: these weights do not fit[^\n]+or are damaged"):
        load_model(workspace, "tales")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"name": "tranformer"}}, "There is no network 'tranformer'. Did you mean 'transformer'?"),
        ({"network": {"name": "os.system"}}, "There is no network 'os.system'."),
        ({"objective": {"name": "autoregresive"}}, "Did you mean 'autoregressive'?"),
        ({"codec": {"name": "byte"}}, "Did you mean 'bytes'?"),
        ({"network": {"name": "transformer", "widht": 3}}, "Unknown setting network.widht. Did you mean 'width'?"),
        ({"context_length": "long"}, "context_length must be a whole number"),
        ({"objective": {"name": "variational"}}, "does not learn what the codec 'bytes' makes of the data"),
    ],
)
def test_a_job_that_cannot_be_is_refused(workspace: Workspace, changes: dict, words: str) -> None:
    path = workspace.root / "models/tales/1/job.toml"
    path.write_text(to_toml({**tomllib.loads(path.read_text()), **changes}))
    resealed(workspace)
    with pytest.raises(ValueError, match=r"^The model tales/1 in [^\n]+ cannot be opened: [^\n]+$") as caught:
        load_model(workspace, "tales")
    assert words in str(caught.value)


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
    resealed(workspace)
    with pytest.raises(ValueError, match=r"^The model tales/1 in [^\n]+ cannot be opened: [^\n]+$"):
        load_model(workspace, "tales")


def test_a_card_says_where_a_model_came_from(workspace: Workspace, worlds: ModuleType) -> None:
    card = workspace.get_model("tales").card
    assert card["data"]["name"] == "tales"
    assert card["data"]["licences"] == {"CC0-1.0": 60}
    assert card["parameters"] == sum(p.numel() for p in load_model(workspace, "tales").parts.parameters())
    assert card["fact"]["steps"] == 200
    assert card["machine"]["torch"] == torch.__version__
    json.dumps(card)


def test_a_design_is_completed_with_every_setting_and_comes_back() -> None:
    design = Design("bytes", "masked", "transformer", 32, network_settings={"width": 16, "heads": 2})
    whole = with_defaults(design)
    assert whole.network_settings["width"] == 16
    assert whole.network_settings["norm_eps"] == 1e-5
    assert with_defaults(whole) == whole
    assert Design.from_job(tomllib.loads(to_toml(whole.to_tables()))) == whole


def test_the_network_reads_as_far_as_the_job_says() -> None:
    from genloom.codecs.bytes import Codec, Config

    design = Design("bytes", "autoregressive", "transformer", 32, network_settings={"width": 16, "heads": 2})
    codec = Codec.fit((), Config())
    objective = build_objective(design, resolve_space(design, codec))
    assert resolve_space(design, codec) == replace(codec.space, context_length=32)
    assert build_networks(design, objective)["model"].window == 32


def test_a_trained_model_is_put_into_the_package(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    monkeypatch.setattr(sys, "argv", ["build_in.py", "tales/1", "--name", "told", "--workspace", str(workspace.root)])
    runpy.run_path(str(Path(__file__).parents[1] / "tools" / "build_in.py"), run_name="__main__")
    assert "told/1 is in" in capsys.readouterr().out
    made, source = workspace.get_model("told"), workspace.get_model("tales")
    made.verify()
    assert made.folder == built_in.FOLDER / "told" / "1"
    assert made.card["data"] == source.card["data"]
    assert made.card["files"]["weights.safetensors"]["bytes"] < source.card["files"]["weights.safetensors"]["bytes"]
    text = "Nobody saw the sea. " * 5
    told = [bits_per_byte(compute_nll(load_model(workspace, name), [text])) for name in ("told", "tales")]
    assert told[0] == pytest.approx(told[1], rel=0.02)
