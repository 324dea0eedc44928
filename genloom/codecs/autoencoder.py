"""A trained encoder and decoder around another codec, as the codecs `learned` and `codes` keep them.

Shape letters: B batch, C channels of the latent.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genloom import plugins
from genloom.old_names import rename_keys, upgrade_part, upgrade_tensors
from genloom.codecs.codec_json import damaged_error, read_json
from genloom.settings import parse, to_table
from genloom.types import Codec, ConditionSpec, NetworkSpec, SignalSpace

WEIGHTS_FILE, INNER_FOLDER = "weights.safetensors", "inside"
LARGEST_SETTING = 1 << 12  # of a network's whole numbers, and of a latent's sides and channels


@dataclass(frozen=True)
class AutoencoderSpec:
    """What the two networks are and what lies between them: all that is needed to build them."""

    network: str
    settings: Mapping[str, Any]
    latent: int  # channels
    grid: tuple[int, ...]
    has_log_variance: bool  # whether the encoder gives a log-variance beside each mean

    def network_specs(self, data_space: SignalSpace) -> dict[str, NetworkSpec]:
        latent_space = SignalSpace(self.latent, self.grid)
        encoder_output = SignalSpace(2 * self.latent, self.grid) if self.has_log_variance else latent_space
        return {"encoder": NetworkSpec(data_space, encoder_output), "decoder": NetworkSpec(latent_space, data_space)}

    def build_networks(self, data_space: SignalSpace) -> nn.ModuleDict:
        """The networks without weights."""
        module = plugins.find_part("network", self.network)
        config = parse(module.Config, self.settings, "network")
        with torch.device("meta"):
            return nn.ModuleDict(
                {name: module.build(role, config) for name, role in self.network_specs(data_space).items()}
            )


@dataclass(frozen=True)
class Autoencoder:
    """Media by way of `inside` to a latent, and back. Pictures are coded one by one: each by itself alone."""

    inner_codec: Codec
    spec: AutoencoderSpec
    parts: nn.ModuleDict

    @classmethod
    def from_model(cls, model: Any) -> "Autoencoder":
        """That of a trained model; ValueError where the model is none or looks at prompts."""
        objective = model.objective
        if not {"encoder", "decoder"} <= set(objective.roles) or not isinstance(model.codec.space, SignalSpace):
            raise ValueError(
                f"The model {model.name!r} has no encoder and decoder to make a codec of. Train one: "
                "--set objective.name=vae_gan --set codec.name=pixels --set network.name=convolution"
            )
        if objective.cond != ConditionSpec():
            raise ValueError(
                f"The model {model.name!r} looks at prompts, which a codec has none of. Train one without."
            )
        module = plugins.find_part("network", model.design.network)
        settings = to_table(parse(module.Config, model.design.network_settings, "network"))
        network_specs = objective.roles
        latent, encoder_output = network_specs["decoder"].takes, network_specs["encoder"].gives
        spec = AutoencoderSpec(model.design.network, settings, latent.channels, latent.size, encoder_output != latent)
        networks = {name: deepcopy(model.parts[name]) for name in ("encoder", "decoder")}
        parts = nn.ModuleDict(networks).to(torch.bfloat16).float()  # as it will be stored
        return cls(model.codec, spec, parts.eval().requires_grad_(False))

    @torch.inference_mode()
    def encode(self, value: Any) -> Tensor:
        """The latent's mean, 1 C *grid."""
        x = torch.from_numpy(np.asarray(self.inner_codec.encode(value), np.float32))[None]
        return self.parts["encoder"](x)[:, : self.spec.latent]

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Any:
        """What a latent, 1 C *grid, stands for."""
        return self.inner_codec.decode(self.parts["decoder"](z)[0].numpy())

    def save(self, folder: Path, codec: str, extras: Mapping[str, Any]) -> None:
        """Write the codec of this name with what it keeps beside the networks; their weights in 16 bits."""
        folder.mkdir(exist_ok=True)
        (folder / INNER_FOLDER).mkdir(exist_ok=True)
        self.inner_codec.save(folder / INNER_FOLDER)
        save_file(
            {k: t.to(torch.bfloat16).contiguous() for k, t in self.parts.state_dict().items()}, folder / WEIGHTS_FILE
        )
        spec = self.spec
        network_keys = {"network": spec.network, "settings": dict(spec.settings), "latent": spec.latent}
        content = {
            "codec": codec,
            **network_keys,
            "grid": spec.grid,
            "has_log_variance": spec.has_log_variance,
            **extras,
        }
        (folder / "codec.json").write_text(json.dumps(content) + "\n")

    @classmethod
    def load(cls, folder: Path, codec: str, extra_keys: Iterable[str]) -> tuple["Autoencoder", dict[str, Any]]:
        """The autoencoder in a codec's folder, and what its codec keeps beside it under the names `more`.

        ValueError names the file that is missing or damaged. Nothing in the folder is executed.
        """
        path = folder / "codec.json"
        content, required_keys = (
            read_json(path),
            {"network", "settings", "latent", "grid", "has_log_variance", *extra_keys},
        )
        content = rename_keys(content, {"spread": "has_log_variance"})
        if upgrade_part("codec", str(content.pop("codec", None))) != codec or set(content) != required_keys:
            raise damaged_error(path, f"it must be for the codec {codec!r} and set {', '.join(sorted(required_keys))}")
        spec = parse_spec(path, content)
        name = read_json(folder / INNER_FOLDER / "codec.json").get("codec")
        inner_codec = plugins.find_part("codec", str(name)).Codec.load(folder / INNER_FOLDER)
        if not isinstance(inner_codec.space, SignalSpace):
            raise damaged_error(folder / INNER_FOLDER, f"the codec {name!r} gives no signal")
        try:
            parts = spec.build_networks(inner_codec.space)
            state_dict = {name: t.float() for name, t in load_file(folder / WEIGHTS_FILE).items()}
            names = upgrade_tensors(spec.network, state_dict, parts.state_dict())
            state_dict = {names[name]: tensor for name, tensor in state_dict.items()}
            parts.load_state_dict(state_dict, assign=True)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise damaged_error(folder / WEIGHTS_FILE, f"it does not fit codec.json ({error})") from None
        return cls(inner_codec, spec, parts.eval().requires_grad_(False)), {key: content[key] for key in extra_keys}


def parse_spec(path: Path, content: Mapping[str, Any]) -> AutoencoderSpec:
    """The shape that a codec.json tells, with every number in bounds before anything is built of it."""
    network, settings, has_log_variance = content["network"], content["settings"], content["has_log_variance"]
    if not (isinstance(network, str) and isinstance(settings, dict) and isinstance(has_log_variance, bool)):
        raise damaged_error(path, "network must be a name, settings a table, spread true or false")
    sides = content["grid"] if isinstance(content["grid"], list) else [0]
    sizes = [content["latent"], *sides, *(1 + n for n in settings.values() if type(n) is int)]
    if not all(type(n) is int and 0 < n <= LARGEST_SETTING for n in sizes):
        raise damaged_error(path, f"grid, latent and settings must be whole numbers up to {LARGEST_SETTING}")
    return AutoencoderSpec(network, settings, content["latent"], tuple(sides), has_log_variance)
