"""Plans of runs on many devices: sizes, memory, time and price follow from the job and the table of prices."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genloom.api.planning import describe_plan, plan_run
from genloom.api.workspace import Workspace
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.model import Design, build_networks, build_objective
from genloom.train.job import Job
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.train.parallel.simulation import fuse_norms
from genloom.train.planning.cluster_plan import ClusterPlan, choose_batch_positions
from genloom.train.planning.device_memory import Layout, estimate_device_memory
from genloom.train.planning.devices import find_device_kind, load_prices, parse_devices
from genloom.train.planning.forecast import PublishedLaw
from genloom.train.planning.network_sizes import design_network, find_space, measure_sizes

GPT2 = Design(
    "bpe",
    "autoregressive",
    "transformer",
    1024,
    codec_settings={"vocab_size": 50_257},
    network_settings={
        "width": 768,
        "depth": 12,
        "heads": 12,
        "activation": "gelu",
        "norm": "layer",
        "positions": "learned",
        "bias": "all",
        "qk_norm": False,
    },
)


def plan(tmp_path: Path, **options) -> ClusterPlan:
    return plan_run(Workspace(tmp_path), params=7_000_000_000, tokens=140_000_000_000, **options)


def test_the_sizes_of_gpt2_are_counted() -> None:
    sizes = measure_sizes(GPT2, find_space(GPT2), OptimizerConfig(family="adamw"))
    assert sizes.parameters == 124_439_808, "as llm.c prints"
    assert sizes.muon_parameters == sizes.largest_matrix == 0
    assert sizes.blocks == 12
    assert sizes.block_parameters == 7_087_872
    assert sizes.lookup_parameters == 1024 * 768, "positions; the tied embedding is the head too"
    assert sizes.cache_values == 2 * 12 * 768


@pytest.mark.parametrize("parameters", [124e6, 1e9, 7e9, 70e9])
def test_a_network_has_about_the_parameters_asked_for(parameters: float) -> None:
    design = design_network(int(parameters))
    sizes = measure_sizes(design, find_space(design), OptimizerConfig())
    assert sizes.parameters == pytest.approx(parameters, rel=0.05)
    assert 40 < sizes.width / sizes.blocks < 170


def test_sharded_states_shrink_with_the_devices_and_replicated_ones_do_not() -> None:
    sizes, config = measure_sizes(GPT2, find_space(GPT2), OptimizerConfig()), TrainConfig(precision="bfloat16")
    one, many = (estimate_device_memory(sizes, config, Layout(n, "fsdp", 1, 1024)) for n in (1, 8))
    assert many.weights == one.weights // 8
    assert many.optimizer == one.optimizer // 8
    assert many.gathered == one.gathered > 0
    assert len({estimate_device_memory(sizes, config, Layout(n, "ddp", 1, 1024)) for n in (2, 8)}) == 1
    kept = estimate_device_memory(sizes, config, Layout(8, "fsdp", 1, 1024, has_checkpointing=True))
    assert kept.activations < one.activations / 4


def test_what_does_not_fit_is_not_chosen(tmp_path: Path) -> None:
    found = plan(tmp_path, devices="64xH100")
    assert found.choice.is_fitting
    assert found.choice.layout.strategy == "fsdp", "7 billion parameters with their optimizer exceed 80 GB"
    assert {each.layout.strategy for each in found.strategies if not each.is_fitting} == {"ddp"}
    assert found.run.steps == -(-140_000_000_000 // found.run.batch_positions)
    assert found.run.batch_positions == choose_batch_positions(7_000_000_000) == 1 << 20
    small = plan(tmp_path, devices="64xRTX4090", strategy="ddp")
    assert not small.choice.is_fitting
    assert any(line.startswith("Problem") for line in describe_plan(small))


def test_more_devices_take_less_time_and_the_price_follows(tmp_path: Path) -> None:
    few, many = (plan(tmp_path, devices=f"{n}xH100", strategy="fsdp") for n in (32, 64))
    assert many.seconds < few.seconds < 2.5 * many.seconds
    assert few.dollars == pytest.approx(32 * 3.0 * few.seconds / 3600)
    assert few.utilization <= 0.4 + 1e-9, "that of the table; waiting for links only lowers it"


def test_the_table_of_prices_of_the_workspace_and_then_the_given_one_count(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("[H100]\nmemory_gb = 80\ntflops = 989\nprice_per_hour = 1\n")
    own = plan(tmp_path)
    (tmp_path / "other.toml").write_text("[tpu]\nmemory_gb = 95\ntflops = 459\nprice_per_hour = 2\n")
    other = plan(tmp_path, devices="8xtpu", prices=tmp_path / "other.toml")
    assert own.dollars == pytest.approx(8 * own.seconds / 3600)
    assert other.devices.kind.memory_gb == 95
    (tmp_path / "bad.toml").write_text("[tpu]\nmemory = 95\n")
    for devices, prices, code in (
        ("8xH10", None, "train.unknown_device"),
        ("eight", None, "train.unknown_device"),
        ("0xH100", None, "train.bad_devices"),
        ("8xH100", tmp_path / "bad.toml", "train.bad_prices"),
        ("8xH100", tmp_path / "none.toml", "train.bad_prices"),
    ):
        with pytest.raises(GenloomError) as raised:
            plan(tmp_path, devices=devices, prices=prices)
        assert raised.value.code == code


def test_torch_s_name_of_a_device_is_found() -> None:
    kinds = load_prices(Path())
    names = {"NVIDIA H200": "H200", "NVIDIA A100-SXM4-80GB": "A100", "NVIDIA GeForce RTX 4090": "RTX4090"}
    assert {name: getattr(find_device_kind(name, kinds), "name", "") for name in names} == names
    assert find_device_kind("Tesla T4", kinds) is None
    assert parse_devices("h100", kinds).count == 1


def test_the_law_is_quoted_with_its_range_and_unknown_beyond(tmp_path: Path) -> None:
    found = plan(tmp_path)
    assert found.expected_loss == pytest.approx(2.2, abs=0.1)
    assert "70 to 16000 million parameters" in found.loss_source
    law = PublishedLaw()
    assert law.predict_loss(7e9, 140e9) > law.predict_loss(7e9, 280e9) > law.floor
    beyond = plan_run(Workspace(tmp_path), params=135_000_000, tokens=2_000_000_000_000, devices="64xH100")
    assert beyond.expected_loss is None
    assert any("unknown: the run is outside" in line for line in describe_plan(beyond))


def test_a_job_is_planned_with_its_own_batch_and_length(tmp_path: Path) -> None:
    design = replace(GPT2, network_settings={"width": 64, "depth": 2, "heads": 2}, context_length=128)
    job = Job("notes", "notes", "0" * 64, design, TrainConfig(steps=50), batch_size=8)
    job.save(tmp_path / "job.toml")
    found = plan_run(Workspace(tmp_path), tmp_path / "job.toml", devices="4xcpu")
    assert (found.run.steps, found.run.batch_positions, found.run.row_positions) == (50, 8 * 128, 128)
    assert found.choice.layout.rows == 2
    assert found.run.plan.precision == "float32"
    with pytest.raises(GenloomError, match="fewer than the 16 devices"):
        plan_run(Workspace(tmp_path), tmp_path / "job.toml", devices="16xcpu")
    bytes_design = Design("bytes", "autoregressive", "ngram", 128, network_settings={"base": {"width": 64, "depth": 2}})
    estimate = {"floor": 2.0, "tokens": 1_000_000, "epochs": 1.0}
    Job("a", "a", "0" * 64, bytes_design, TrainConfig(steps=50), 8, estimate=estimate).save(tmp_path / "job.toml")
    own = plan_run(Workspace(tmp_path), tmp_path / "job.toml", devices="cpu")
    assert own.loss_unit == "bits per byte"
    assert 1.5 < (own.expected_loss or 0) < 2.0


def test_the_command_reads_amounts_and_says_what_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    assert run(["plan", "--params", "7B", "--tokens", "140B", "--devices", "64xH100"]) == 0
    shown = capsys.readouterr().out
    assert "* fsdp" in shown
    assert "140,000,000,000 tokens" in shown
    assert run(["plan", "--params", "1.5B", "--tokens", "2B", "--devices", "RTX4090", "--strategy", "fsdp"]) == 1
    for arguments in (["--params", "7X", "--tokens", "1B"], ["--params", "7B"], ["job.toml", "--params", "7B"]):
        assert run(["plan", *arguments]) != 0


def test_the_activations_that_are_kept_are_counted() -> None:
    """Of a block in bfloat16, what autograd holds between the forward and the backward pass."""

    def measure(depth: int, key_heads: int) -> tuple[int, int]:
        settings = {"width": 128, "depth": depth, "heads": 4, "key_heads": key_heads, "tie_embeddings": False}
        design = replace(GPT2, network_settings=settings, context_length=2048)
        network = build_networks(design, build_objective(design, find_space(design))).to(torch.bfloat16)["model"]
        weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
        kept: dict[int, torch.UntypedStorage] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage  # which keeps its address its own
            return tensor

        with fuse_norms(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.zeros(1, 1280, dtype=torch.long), return_logits=False)
        sizes = measure_sizes(design, find_space(design), OptimizerConfig())
        return sum(storage.nbytes() for storage in kept.values()), 2 * 1280 * sizes.kept_values

    for key_heads in (4, 1):
        (one, one_counted), (three, three_counted) = (measure(depth, key_heads) for depth in (1, 3))
        # On processors, the result of attention is copied once more.
        assert three - one == pytest.approx(three_counted - one_counted, rel=0.08)
