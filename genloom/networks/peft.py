"""Adapters in the format of the PEFT library: a small config beside a safetensors file with two matrices a target."""

import difflib
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from genloom.networks import lora
from genloom.networks.transformer import Config as TransformerConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LARGEST_CONFIG = 1 << 20  # bytes
PREFIX = "base_model.model."
ENDS = {"A": "lora_A.weight", "B": "lora_B.weight", "gain": "lora_magnitude_vector"}

# Modules of Llama, Mistral, Qwen and their like.
MODULES = {
    **{target: f"self_attn.{target}_proj" for target in "qkvo"},
    **{target: f"mlp.{target}_proj" for target in ("gate", "up", "down")},
}

# Fields of a config that do not change what a trained adapter computes, or that are read here.
READ = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights"}
SILENT = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_version", "revision"),
    *("qalora_group_size", "runtime_config", "target_modules", "exclude_modules", "task_type"),
}
# Ways to begin that leave the base's weights alone; others (PiSSA, OLoRA, CorDA …) changed them.
BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")


def to_peft(network: nn.Module, name: str, folder: Path, base: str = "") -> None:
    """Write one adapter as `peft.PeftModel.from_pretrained` reads it; `base` says what it belongs on."""
    found = [(path, linear, adapter) for path, linear, adapter in lora.adapters(network) if adapter.name == name]
    assert found, f"there is no adapter {name!r}"
    config = found[0][2].config
    tensors: dict[str, Tensor] = {}
    modules: set[str] = set()
    for path, linear, adapter in found:
        for target, pair in halves(adapter, linear).items():
            modules.add(module_of(path, target))
            tensors |= {key_of(path, target, half): t.float().cpu().contiguous() for half, t in pair.items()}
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilised,
        "use_dora": config.decomposed,
        "bias": "none",
        "target_modules": sorted({module.rsplit(".", 1)[-1] for module in modules}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n")


def check_named(network: nn.Module) -> None:
    """Raises ValueError for a network whose maps PEFT would look for under other names than ours."""
    config = getattr(network, "config", None)
    if not isinstance(config, TransformerConfig) or (config.activation, config.positions) != ("swiglu", "rotary"):
        raise ValueError(
            "PEFT finds adapters by the names of Llama's modules, and this model is of another family. "
            "Export it whole: --to hf, with the adapter merged into it."
        )


def halves(adapter: lora.Adapter, linear: lora.Adapted) -> dict[str, dict[str, Tensor]]:
    """For each target its A (rank, D), its B (O, rank) and, where rows' lengths are learned, those lengths (O)."""
    sizes = [span.stop - span.start for span in adapter.spans.values()]
    split = {"A": adapter.A.detach().chunk(len(sizes)), "B": adapter.B.detach().split(sizes)}
    if adapter.gain is not None:
        lengths = adapter.squares[adapter.rows].sqrt() * (1 + adapter.gain.detach())
        split["gain"] = lengths.split(sizes)
    return {target: {half: parts[i] for half, parts in split.items()} for i, target in enumerate(adapter.spans)}


def module_of(path: str, target: str) -> str:
    """The module that PEFT knows a target as; what only Genloom has keeps its own path."""
    block = re.fullmatch(r"blocks\.(\d+)\.(attention|mlp)\.\w+", path)
    return f"model.layers.{block[1]}.{MODULES[target]}" if block else f"{path}.{target}"


@torch.no_grad()
def from_peft(network: nn.Module, folder: Path, name: str = "default") -> None:
    """Attach the adapter in `folder`, which PEFT or `to_peft` wrote.

    Raises ValueError, before anything is allocated or changed, for a setting that is not supported, a tensor that
    belongs nowhere or has another shape than here, and one that is missing.
    """
    config = config_of(folder / CONFIG)
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            headers = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
            shapes = {key: tuple(header.get_shape()) for key, header in headers.items()}
            types = {header.get_dtype() for header in headers.values()}
            config, wanted = matched(network, config, shapes, path)
            if not types <= {"F32", "F16", "BF16"}:
                raise ValueError(f"{path}: an adapter holds numbers of 16 or 32 bits, and this one {sorted(types)}.")
            tensors = {key: file.get_tensor(key).float() for key in wanted}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: this adapter cannot be read: {error}. Save or download it again.") from None
    lora.attach(network, config, name)
    for place, linear, adapter in lora.adapters(network):
        if adapter.name == name:
            read = {
                half: torch.cat([tensors[key_of(place, t, half)] for t in adapter.spans]) for half in halves_of(config)
            }
            adapter.A.copy_(read["A"])
            adapter.B.copy_(read["B"])
            if adapter.gain is not None:
                adapter.gain.copy_(read["gain"].to(linear.weight) / adapter.squares[adapter.rows].sqrt() - 1)


def halves_of(config: lora.Config) -> tuple[str, ...]:
    return ("A", "B", "gain") if config.decomposed else ("A", "B")


def key_of(path: str, target: str, half: str) -> str:
    return f"{PREFIX}{module_of(path, target)}.{ENDS[half]}"


def matched(
    network: nn.Module, config: lora.Config, shapes: dict[str, tuple[int, ...]], path: Path
) -> tuple[lora.Config, list[str]]:
    """The config with the targets that the file holds, and the keys of its tensors, all found and in shape."""
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for place, spans in lora.targets(network).items():
        linear = network.get_submodule(place)
        assert isinstance(linear, nn.Linear)
        for target, span in spans.items():
            rows = span.stop - span.start
            sizes = {"A": (config.rank, linear.in_features), "B": (rows, config.rank), "gain": (rows,)}
            expected |= {key_of(place, target, half): (target, sizes[half]) for half in halves_of(config)}
    for key in shapes:
        if key not in expected:
            near = difflib.get_close_matches(key, expected, 1)
            raise ValueError(
                f"{path}: {key} matches nothing in this network{f'; the nearest is {near[0]}' if near else ''}. "
                "The adapter belongs on another model."
            )
    targets = {expected[key][0] for key in shapes}
    keys = [key for key, (target, _) in expected.items() if target in targets]
    for key in keys:
        if key not in shapes:
            raise ValueError(f"{path}: {key} is missing. An adapter must hold all parts of a target in every layer.")
        if shapes[key] != expected[key][1]:
            raise ValueError(f"{path}: {key} has the shape {shapes[key]}, and here it must be {expected[key][1]}.")
    if not keys:
        raise ValueError(f"{path}: this adapter is empty.")
    known = dict.fromkeys(target for target, _ in expected.values())
    return replace(config, targets=tuple(target for target in known if target in targets)), keys


def config_of(path: Path) -> lora.Config:
    """The settings of an adapter, its targets left open; ValueError for one that cannot be had here."""
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError("a config is a short file")
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is not the config of an adapter: {error}.") from None
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise ValueError(f"{path}: only adapters of the type LORA can be used here.")
    for field, value in content.items():
        neutral = not value or (field, value) == ("bias", "none")
        if field not in READ | SILENT and not neutral:
            raise ValueError(f"{path}: {field} = {json.dumps(value)} is not supported. Train the adapter without it.")
    beginning = content.get("init_lora_weights")
    if beginning not in BEGINNINGS:
        raise ValueError(
            f"{path}: init_lora_weights = {json.dumps(beginning)} changed the base's weights. "
            "Let peft convert the adapter to plain LoRA first (path_initial_model_for_weight_conversion)."
        )
    return lora.Config(
        int(number(content, "r", 8, path)),
        float(number(content, "lora_alpha", 8, path)),
        (),
        number(content, "lora_dropout", 0.0, path),
        bool(content.get("use_rslora")),
        bool(content.get("use_dora")),
    )


def number(content: dict[str, Any], field: str, default: float, path: Path) -> float:
    value = content.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{path}: {field} must be a number, got {json.dumps(value)}.")
    return value
