"""Adapters in the format of the PEFT library: a small config and a safetensors file with two matrices per target."""

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

from genloom.errors import GenloomError, find_nearest
from genloom.networks import lora
from genloom.networks.transformer import Config as TransformerConfig
from genloom.old_names import upgrade_adapter_target

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
MAX_CONFIG_BYTES = 1 << 20
KEY_PREFIX = "base_model.model."
KEY_SUFFIXES = {"A": "lora_A.weight", "B": "lora_B.weight", "gain": "lora_magnitude_vector"}

# Modules of Llama, Mistral, Qwen and similar models.
MODULE_NAMES = {
    **{target: f"self_attn.{target}_proj" for target in "qkvo"},
    **{target: f"mlp.{target}_proj" for target in ("gate", "up", "down")},
}

# Fields of a config that this module reads, and those that do not change what a trained adapter computes.
READ_FIELDS = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights"}
IGNORED_FIELDS = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_version", "revision"),
    *("qalora_group_size", "runtime_config", "target_modules", "exclude_modules", "task_type"),
}
# Initializations that leave the weights of the base unchanged; others (PiSSA, OLoRA, CorDA …) change them.
SUPPORTED_INITS = (None, True, False, "gaussian", "eva", "orthogonal")


def save_peft_adapter(network: nn.Module, name: str, folder: Path, base: str = "") -> None:
    """Write one adapter for `peft.PeftModel.from_pretrained`; `base` is the name of its base model."""
    entries = [(path, linear, adapter) for path, linear, adapter in lora.iter_adapters(network) if adapter.name == name]
    assert entries, f"there is no adapter {name!r}"
    config = entries[0][2].config
    tensors: dict[str, Tensor] = {}
    modules: set[str] = set()
    for path, linear, adapter in entries:
        for target, factors in split_factors(adapter, linear).items():
            modules.add(to_peft_module(path, target))
            tensors |= {
                to_peft_key(path, target, factor): t.float().cpu().contiguous() for factor, t in factors.items()
            }
    peft_config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "bias": "none",
        "target_modules": sorted({module.rsplit(".", 1)[-1] for module in modules}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(peft_config, indent=2) + "\n")


def is_peft_compatible(network: nn.Module) -> bool:
    """Return whether the network's layers have the names that PEFT expects, those of Llama."""
    config = getattr(network, "config", None)
    return isinstance(config, TransformerConfig) and (config.activation, config.positions) == ("swiglu", "rotary")


def split_factors(adapter: lora.Adapter, linear: lora.LoRALinear) -> dict[str, dict[str, Tensor]]:
    """Return for each target its A (rank, D), its B (O, rank) and, with DoRA, the learned norms of its rows (O)."""
    sizes = [span.stop - span.start for span in adapter.row_slices.values()]
    splits = {"A": adapter.A.detach().chunk(len(sizes)), "B": adapter.B.detach().split(sizes)}
    if adapter.gain is not None:
        norms = adapter.squared_norms[adapter.row_index].sqrt() * (1 + adapter.gain.detach())
        splits["gain"] = norms.split(sizes)
    return {
        target: {factor: parts[i] for factor, parts in splits.items()} for i, target in enumerate(adapter.row_slices)
    }


def to_peft_module(path: str, target: str) -> str:
    """Return PEFT's module name of a target; layers that only Genloom has keep their own path."""
    block = re.fullmatch(r"blocks\.(\d+)\.(attention|mlp)\.\w+", path)
    return f"model.layers.{block[1]}.{MODULE_NAMES[target]}" if block else f"{path}.{target}"


@torch.no_grad()
def load_peft_adapter(network: nn.Module, folder: Path, name: str = "default") -> None:
    """Attach the adapter in `folder`, written by PEFT or `save_peft_adapter`.

    Raise GenloomError, before allocating or changing anything, for an unsupported setting and for a tensor that is
    unknown, missing or of another shape.
    """
    config = read_config(folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    try:
        with safe_open(path, "pt") as file:
            file_keys = {upgrade_key(network, key): key for key in file.keys()}  # noqa: SIM118  # not a mapping
            headers = {key: file.get_slice(file_key) for key, file_key in file_keys.items()}
            shapes = {key: tuple(header.get_shape()) for key, header in headers.items()}
            dtypes = {header.get_dtype() for header in headers.values()}
            config, keys = match_tensors(network, config, shapes, path)
            if not dtypes <= {"F32", "F16", "BF16"}:
                raise GenloomError("networks.peft_dtype", path=path, dtypes=", ".join(sorted(dtypes)))
            tensors = {key: file.get_tensor(file_keys[key]).float() for key in keys}
    except (OSError, SafetensorError) as error:
        raise GenloomError("networks.peft_unreadable", path=path, reason=str(error)) from None
    lora.attach_adapter(network, config, name)
    for module_path, linear, adapter in lora.iter_adapters(network):
        if adapter.name == name:
            tensors_by_factor = {
                factor: torch.cat([tensors[to_peft_key(module_path, t, factor)] for t in adapter.row_slices])
                for factor in list_factors(config)
            }
            adapter.A.copy_(tensors_by_factor["A"])
            adapter.B.copy_(tensors_by_factor["B"])
            if adapter.gain is not None:
                adapter.gain.copy_(
                    tensors_by_factor["gain"].to(linear.weight) / adapter.squared_norms[adapter.row_index].sqrt() - 1
                )


def list_factors(config: lora.Config) -> tuple[str, ...]:
    return ("A", "B", "gain") if config.use_dora else ("A", "B")


def to_peft_key(path: str, target: str, factor: str) -> str:
    return f"{KEY_PREFIX}{to_peft_module(path, target)}.{KEY_SUFFIXES[factor]}"


def upgrade_key(network: nn.Module, key: str) -> str:
    """Return the present key of a tensor that an earlier version wrote, or the key itself."""
    for suffix in KEY_SUFFIXES.values():
        if key.startswith(KEY_PREFIX) and key.endswith(f".{suffix}"):
            target = key.removeprefix(KEY_PREFIX).removesuffix(f".{suffix}")
            network_name = type(network).__module__.rpartition(".")[-1]
            return f"{KEY_PREFIX}{upgrade_adapter_target(network_name, target)}.{suffix}"
    return key


def match_tensors(
    network: nn.Module, config: lora.Config, shapes: dict[str, tuple[int, ...]], path: Path
) -> tuple[lora.Config, list[str]]:
    """Return the config with the targets in the file, and the keys of its tensors, after checking all shapes."""
    expected_tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for module_path, row_slices in lora.find_targets(network).items():
        linear = network.get_submodule(module_path)
        assert isinstance(linear, nn.Linear)
        for target, span in row_slices.items():
            num_rows = span.stop - span.start
            sizes = {"A": (config.rank, linear.in_features), "B": (num_rows, config.rank), "gain": (num_rows,)}
            expected_tensors |= {
                to_peft_key(module_path, target, factor): (target, sizes[factor]) for factor in list_factors(config)
            }
    for key in shapes:
        if key not in expected_tensors:
            if close := find_nearest(key, expected_tensors):
                raise GenloomError("networks.peft_unknown_tensor_nearest", path=path, key=key, nearest=close)
            raise GenloomError("networks.peft_unknown_tensor", path=path, key=key)
    present_targets = {expected_tensors[key][0] for key in shapes}
    keys = [key for key, (target, _) in expected_tensors.items() if target in present_targets]
    for key in keys:
        if key not in shapes:
            raise GenloomError("networks.peft_missing_tensor", path=path, key=key)
        if shapes[key] != expected_tensors[key][1]:
            expected_shape = expected_tensors[key][1]
            raise GenloomError("networks.peft_shape", path=path, key=key, shape=shapes[key], expected=expected_shape)
    if not keys:
        raise GenloomError("networks.peft_empty", path=path)
    known_targets = dict.fromkeys(target for target, _ in expected_tensors.values())
    return replace(config, targets=tuple(target for target in known_targets if target in present_targets)), keys


def read_config_table(path: Path) -> dict[str, Any]:
    """Read the config of an adapter; GenloomError for anything but the table of a LoRA adapter."""
    try:
        with path.open("rb") as file:  # which may be a link to a device that never ends
            text = file.read(min(path.stat().st_size, MAX_CONFIG_BYTES + 1))
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise GenloomError("networks.peft_config", path=path, reason=str(error)) from None
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise GenloomError("networks.peft_type", path=path)
    return content


def read_config(path: Path) -> lora.Config:
    """Read the settings of an adapter, without its targets; GenloomError for unsupported ones."""
    content = read_config_table(path)
    for field, value in content.items():
        is_neutral = not value or (field, value) == ("bias", "none")
        if field not in READ_FIELDS | IGNORED_FIELDS and not is_neutral:
            raise GenloomError("networks.peft_setting", path=path, field=field, value=json.dumps(value))
    init_method = content.get("init_lora_weights")
    if init_method not in SUPPORTED_INITS:
        raise GenloomError("networks.peft_init", path=path, value=json.dumps(init_method))
    return lora.Config(
        int(read_number(content, "r", 8, path)),
        float(read_number(content, "lora_alpha", 8, path)),
        (),
        read_number(content, "lora_dropout", 0.0, path),
        bool(content.get("use_rslora")),
        bool(content.get("use_dora")),
    )


def read_number(content: dict[str, Any], field: str, default: float, path: Path) -> float:
    value = content.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GenloomError("networks.peft_number", path=path, field=field, value=json.dumps(value))
    return value
