"""Models tuned with adapters: loaded on their base, stacked, switched, merged, replayed; refused without the base."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genloom.cli import run
from genloom.exchange.exporter import export_model
from genloom.generate import engine, output_records
from genloom.model import Model, build_networks, load_model, merge_adapters, save_adapter, save_model
from genloom.networks import lora, peft
from genloom.settings import to_toml
from genloom.store import manifest
from genloom.store.model_folder import is_essential_file
from genloom.store.workspace import Workspace
from genloom.testing import assert_close
from tests.errors import raises_code

X = torch.arange(40).view(2, 20) * 5 % 97


@pytest.fixture
def workspace(trained_copy: Workspace) -> Workspace:
    return trained_copy


def tune(workspace: Workspace, name: str, base: str = "tales", seed: int = 1, **settings: Any) -> str:
    """Save a model tuned from `base` with random adapter weights."""
    model = load_model(workspace, base)
    assert model.folder is not None
    torch.manual_seed(seed)
    lora.attach_adapter(network_of(model), lora.Config(2, 4.0, **settings))
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network_of(model).parameters():
            p.add_(torch.randn(p.shape, generator=rng) * 0.2)
    staged = workspace.create_model(name)
    with staged as folder:
        save_adapter(model, "default", model.folder, folder, model.design.to_tables(), {"fact": {}})
    return staged.result.ref


def network_of(model: Model) -> torch.nn.Module:
    return model.parts["model"]


def logits(model: Model) -> torch.Tensor:
    return network_of(model)(X).detach()


def test_a_tuned_model_stores_only_the_adapter_and_loads_on_its_base(workspace: Workspace) -> None:
    ref = tune(workspace, "notes", targets=("q", "v"))
    folder, base = workspace.get_model(ref), workspace.get_model("tales")
    inside = {path.relative_to(folder.folder).as_posix() for path in folder.folder.rglob("*") if path.is_file()}
    assert inside == {
        "card.json",
        "job.toml",
        "codec/codec.json",
        f"adapter/{peft.CONFIG_FILE}",
        f"adapter/{peft.WEIGHTS_FILE}",
    }
    job = tomllib.loads((folder.folder / "job.toml").read_text())
    assert job["base"] == {"ref": "tales/1", "digest": base.digest}
    assert (job["adapter"]["method"], job["adapter"]["rank"]) == ("lora", 2)
    assert folder.card["parents"] == [job["base"]]
    assert (folder.parent_ref, base.parent_ref) == ("tales/1", "")
    model, plain = load_model(workspace, "notes"), load_model(workspace, "tales")
    assert (model.ref, model.name, model.adapters, plain.adapters) == ("notes/1", "notes", ("notes/1",), ())
    assert model.design == plain.design
    assert (logits(model) - logits(plain)).abs().max() > 0.01
    assert not any(part.training for part in model.parts.modules())
    assert not any(p.requires_grad for p in model.parts.parameters())


def test_the_digest_covers_the_adapter(workspace: Workspace) -> None:
    first, same, other = (tune(workspace, name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    digest = {ref: workspace.get_model(ref).digest for ref in (first, same, other)}
    assert digest[first] == digest[same] != digest[other]
    path = workspace.get_model(first).folder / "adapter" / peft.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with raises_code("store.damaged", path=path):
        load_model(workspace, first)


def test_a_tuned_model_is_tuned_further(workspace: Workspace) -> None:
    tune(workspace, "notes")
    top = tune(workspace, "letters", base="notes", seed=2, use_dora=True)
    model = load_model(workspace, top)
    assert model.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(model.with_adapters(("notes/1",))), logits(load_model(workspace, "notes")))
    assert torch.equal(logits(model.with_adapters(())), logits(load_model(workspace, "tales")))
    on_base = load_model(workspace, "tales", adapters=(top,))
    assert on_base.adapters == model.adapters
    assert torch.equal(logits(on_base), logits(model))


def test_adapters_are_added_and_switched_without_reloading_the_base(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tune(workspace, name, seed=seed)
    both = load_model(workspace, "tales", adapters=("notes", "letters/1"))
    assert both.adapters == ("notes/1", "letters/1")
    alone = {name: logits(load_model(workspace, name)) for name in ("tales", "notes", "letters")}
    onto = load_model(workspace, "notes", adapters=("letters",))
    assert torch.equal(logits(onto), logits(both))
    monkeypatch.setattr("genloom.model.load.load_file", lambda *_: pytest.fail("the base was opened again"))
    before = logits(both)
    assert torch.equal(logits(both.with_adapters(("letters/1",))), alone["letters"])
    assert torch.equal(logits(both.with_adapters(("notes/1",))), alone["notes"])
    assert torch.equal(logits(both.with_adapters(())), alone["tales"])
    again = both.with_adapters(()).with_adapters(("letters/1", "notes/1"))
    assert again.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(again), before)
    with raises_code("networks.unknown_adapter", name="poems/1", known="notes/1, letters/1"):
        both.with_adapters(("poems/1",))


@pytest.mark.parametrize("use_dora", [False, True])
def test_an_adapter_is_added_in_part(workspace: Workspace, use_dora: bool) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tune(workspace, name, seed=seed, use_dora=use_dora)
    base, full = load_model(workspace, "tales"), load_model(workspace, "tales", ("notes",))
    assert torch.equal(logits(load_model(workspace, "tales", ("notes=1",))), logits(full))
    assert torch.equal(logits(load_model(workspace, "tales", ("notes=0",))), logits(base))
    half = load_model(workspace, "tales", ("notes=0.5", "letters=0"))
    assert half.adapter_weights == {"notes/1": 0.5, "letters/1": 0.0}
    assert torch.equal(logits(half), logits(load_model(workspace, "notes", ("notes=0.5",))))
    assert 0 < (logits(half) - logits(base)).abs().max() < (logits(full) - logits(base)).abs().max()
    torch.testing.assert_close(logits(merge_adapters(half)), logits(half), rtol=1e-3, atol=1e-4)
    for weight in ("much", "", "5", "nan"):
        with raises_code("model.bad_adapter_weight", ref="notes", weight=weight):
            load_model(workspace, "tales", (f"notes={weight}",))


def test_an_adapter_is_merged_into_its_base(workspace: Workspace) -> None:
    tune(workspace, "notes")
    model = load_model(workspace, "notes")
    merged = merge_adapters(model)
    assert_close(logits(merged), logits(model), "merged")
    staged = workspace.create_model("merged")
    with staged as folder:
        save_model(merged, folder, model.design.to_tables(), {})
    stored = load_model(workspace, "merged")
    assert torch.equal(logits(stored), logits(merged))
    assert merged.adapters == stored.adapters == ()


def test_outputs_of_adapters_are_replayed_with_them(workspace: Workspace) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tune(workspace, name, seed=seed)
    request = engine.build_request(["The"], 1, 0, (), {"max_tokens": 12})
    both = load_model(workspace, "tales", adapters=("notes", "letters"))
    for model, active in (
        (both, ("notes/1", "letters/1")),
        (both.with_adapters(("letters/1",)), ("letters/1",)),
        (load_model(workspace, "notes"), ("notes/1",)),
        (load_model(workspace, "notes").with_adapters(()), ()),
        (load_model(workspace, "tales"), ()),
    ):
        (output,) = output_records.store_outputs(workspace, model, request, engine.run_request(model, request))
        assert tuple(workspace.get_output(output)[1]["adapters"]) == active
        output_records.replay_output(workspace, output)
    (output,) = output_records.store_outputs(workspace, both, request, engine.run_request(both, request))
    shutil.rmtree(workspace.get_model("notes").folder)
    tune(workspace, "notes", seed=3)
    with raises_code("generate.model_changed", model="notes/1"):
        output_records.replay_output(workspace, output)


def test_generate_takes_adapters_on_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tune(workspace, name, seed=seed)
    where = ["--workspace", str(workspace.root), "--json"]
    given = ["--adapter", "notes", "--adapter", "letters/1", "--prompt", "The", "--max-tokens", "9", "--seed", "1"]
    assert run(["generate", "tales", *given, *where]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["adapters"] == ["notes/1", "letters/1"]
    assert run(["generate", "--replay", result["outputs"][0]["id"], *where]) == 0
    assert json.loads(capsys.readouterr().out)["identical"]
    for weight, is_warned in (("", True), ("=0.5", False)):
        assert run(["generate", "tales", *given, "--adapter", f"letters{weight}", *where[:-1]]) == 0
        assert ("--adapter notes=0.5" in capsys.readouterr().err) is is_warned, "they were not trained together"
    assert run(["generate", "tales", *given[2:], "--adapter", "letters/1", *where[:-1]]) == 0
    assert "added in full" not in capsys.readouterr().err, "it is one adapter"
    assert run(["list", "models", *where]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert {row["model"]: row["parent"] for row in listed} == {
        "letters/1": "tales/1",
        "masks/1": "",
        "notes/1": "tales/1",
        "tales/1": "",
    }


def test_an_adapter_leaves_in_peft_s_format_where_its_modules_have_llama_s_names(
    workspace: Workspace, tmp_path: Path
) -> None:
    ref = tune(workspace, "notes", targets=("q", "down"))
    out = export_model(workspace, ref, "peft", tmp_path / "out", None, lambda share, what: None).path
    stored = workspace.get_model(ref).folder / "adapter"
    assert (out / peft.WEIGHTS_FILE).read_bytes() == (stored / peft.WEIGHTS_FILE).read_bytes()
    assert json.loads((out / peft.CONFIG_FILE).read_text())["target_modules"] == ["down_proj", "q_proj"]
    base = load_model(workspace, "tales")
    settings = {
        "width": 16,
        "heads": 2,
        "depth": 1,
        "activation": "gelu",
        "positions": "learned",
        "norm": "layer",
        "bias": "all",
        "qk_norm": False,
    }
    design = replace(base.design, network_settings=settings)
    other = replace(base, design=design, parts=build_networks(design, base.objective))
    staged = workspace.create_model("other")
    with staged as folder:
        save_model(other, folder, design.to_tables(), {})
    ref = tune(workspace, "notes", base="other")
    with raises_code("exchange.peft_family"):
        export_model(workspace, ref, "peft", tmp_path / "more", None, lambda share, what: None)
    assert not (tmp_path / "more").exists()


def update_digests(workspace: Workspace, ref: str) -> None:
    manifest.finalize_manifest(
        workspace.root / "models" / ref, "card.json", is_essential_file, {"name": ref.split("/")[0]}
    )


def rewrite_job(workspace: Workspace, ref: str, **changes: Any) -> None:
    path = workspace.root / "models" / ref / "job.toml"
    path.write_text(to_toml({**tomllib.loads(path.read_text()), **changes}))
    update_digests(workspace, ref)


def test_without_its_base_a_tuned_model_is_refused(workspace: Workspace) -> None:
    tune(workspace, "notes")
    rewrite_job(workspace, "tales/1", context_length=47)
    with raises_code("model.base_changed", ref="notes/1", base="tales/1"):
        load_model(workspace, "notes")
    shutil.rmtree(workspace.root / "models/tales")
    with raises_code("model.base_missing", ref="notes/1", base="tales/1"):
        load_model(workspace, "notes")


def test_an_adapter_on_another_base_is_refused(workspace: Workspace) -> None:
    tune(workspace, "notes")
    for base, adapter in (("masks", "notes"), ("tales", "masks"), ("tales", "tales")):
        with raises_code("model.incompatible_adapter", ref=f"{adapter}/1", base=f"{base}/1"):
            load_model(workspace, base, adapters=(adapter,))


def test_broken_tuned_models_are_one_clear_error(workspace: Workspace) -> None:
    tune(workspace, "notes")
    card = workspace.get_model("notes").card
    job = workspace.root / "models/notes/1/job.toml"
    original_job = job.read_text()
    job.write_text(original_job.replace("[base]", "[bass]"))
    update_digests(workspace, "notes/1")
    with raises_code("model.bad_base", ref="notes/1"):
        load_model(workspace, "notes")
    job.write_text(original_job)
    config = workspace.root / "models/notes/1/adapter" / peft.CONFIG_FILE
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    update_digests(workspace, "notes/1")
    with raises_code("model.adapter_unreadable", ref="notes/1") as caught:
        load_model(workspace, "notes")
    assert "shape" in str(caught.value)
    # A card that names itself as its base.
    job.write_text(original_job.replace("tales/1", "notes/1").replace(card["parents"][0]["digest"], "d" * 64))
    path = job.with_name("card.json")
    path.write_text(json.dumps({**card, "digest": "d" * 64}))
    with raises_code("model.chain_too_long", limit=8):
        load_model(workspace, "notes")
