"""A trained encoder and decoder around another codec: the common part of the codecs `latent` and `fsq_tokens`.

Shape letters: B batch, C channels of the latent.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genloom import plugins
from genloom.capabilities import ResizableCodec
from genloom.codecs.codec_json import damaged_error, read_json
from genloom.errors import GenloomError, format_message
from genloom.old_names import rename_keys, upgrade_fields, upgrade_part, upgrade_tensors
from genloom.settings import parse_settings, to_table
from genloom.types import Codec, ConditionSpec, NetworkSpec, SignalSpace

WEIGHTS_FILE, INNER_FOLDER = "weights.safetensors", "inside"
LARGEST_SETTING = 1 << 12  # of a network's integers, and of a latent's sides and channels


@dataclass(frozen=True)
class AutoencoderSpec:
    """The two networks and the latent between them: everything that is needed to build them."""

    network: str
    settings: Mapping[str, Any]
    latent: int  # channels
    grid: tuple[int, ...]
    has_log_variance: bool  # the encoder returns a log-variance for each mean

    def network_specs(self, data_space: SignalSpace) -> dict[str, NetworkSpec]:
        latent_space = SignalSpace(self.latent, self.grid)
        encoder_output = SignalSpace(2 * self.latent, self.grid) if self.has_log_variance else latent_space
        return {"encoder": NetworkSpec(data_space, encoder_output), "decoder": NetworkSpec(latent_space, data_space)}

    def build_networks(self, data_space: SignalSpace) -> nn.ModuleDict:
        """Build the networks without weights."""
        module = plugins.find_part("network", self.network)
        config = parse_settings(module.Config, self.settings, "network")
        with torch.device("meta"):
            return nn.ModuleDict(
                {name: module.build(spec, config) for name, spec in self.network_specs(data_space).items()}
            )


@dataclass(frozen=True)
class Autoencoder:
    """An encoder from values, by way of `inner_codec`, to a latent, and a decoder back. Values are coded one by one."""

    inner_codec: Codec
    spec: AutoencoderSpec
    parts: nn.ModuleDict

    @classmethod
    def from_model(cls, model: Any) -> "Autoencoder":
        """Return the autoencoder of a trained model; raise ValueError if it has none or is conditioned on prompts."""
        objective = model.objective
        if not {"encoder", "decoder"} <= set(objective.network_specs) or not isinstance(model.codec.space, SignalSpace):
            raise GenloomError("codecs.model_not_autoencoder", model=model.name)
        if objective.condition != ConditionSpec():
            raise GenloomError("codecs.model_with_prompts", model=model.name)
        module = plugins.find_part("network", model.design.network)
        settings = to_table(parse_settings(module.Config, model.design.network_settings, "network"))
        network_specs = objective.network_specs
        latent, encoder_output = network_specs["decoder"].input, network_specs["encoder"].output
        spec = AutoencoderSpec(model.design.network, settings, latent.channels, latent.size, encoder_output != latent)
        networks = {name: deepcopy(model.parts[name]) for name in ("encoder", "decoder")}
        parts = nn.ModuleDict(networks).to(torch.bfloat16).float()  # the precision on disk
        return cls(model.codec, spec, parts.eval().requires_grad_(False))

    @property
    def has_lengths(self) -> bool:
        """Whether values, and so their latents, may be shorter than the grid on the first axis."""
        space = self.inner_codec.space
        return isinstance(space, SignalSpace) and space.has_lengths and len(space.size) == len(self.spec.grid)

    def with_length(self, length: int) -> "Autoencoder":
        """Return the autoencoder whose latent has this many positions on the first axis; the weights are shared.

        Raise GenloomError for networks or a codec that do not read other lengths.
        """
        codec, space, grid = self.inner_codec, self.inner_codec.space, self.spec.grid
        if isinstance(codec, ResizableCodec) and isinstance(space, SignalSpace) and grid:
            inner_codec = codec.with_length(length * space.size[0] // grid[0])
            spec, weights = replace(self.spec, grid=(length, *grid[1:])), self.parts.state_dict()
            others = spec.build_networks(inner_codec.space).state_dict()
            if {name: t.shape for name, t in others.items()} == {name: t.shape for name, t in weights.items()}:
                return replace(self, inner_codec=inner_codec, spec=spec)
        raise GenloomError("codecs.latent_length_is_fixed", length=length, trained=grid[0] if grid else 0)

    @torch.inference_mode()
    def encode(self, value: Any) -> Tensor:
        """Return the mean of the latent, 1 C *grid; that of a shorter value has as many positions as cover it."""
        x = torch.from_numpy(np.asarray(self.inner_codec.encode(value), np.float32))[None]
        if not self.has_lengths:
            return self.parts["encoder"](x)[:, : self.spec.latent]
        space, length = self.inner_codec.space, x.shape[2]
        assert isinstance(space, SignalSpace)
        x = torch.cat([x, x.new_zeros(*x.shape[:2], -length % (space.size[0] // self.spec.grid[0]), *x.shape[3:])], 2)
        return self.parts["encoder"](x, lengths=torch.tensor([length]))[:, : self.spec.latent]

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Any:
        """Return the value of a latent, 1 C *grid."""
        return self.inner_codec.decode(self.parts["decoder"](z)[0].numpy())

    def save(self, folder: Path, codec: str, extras: Mapping[str, Any]) -> None:
        """Write the codec of this name, with `extras` in its codec.json and 16-bit weights."""
        folder.mkdir(exist_ok=True)
        (folder / INNER_FOLDER).mkdir(exist_ok=True)
        self.inner_codec.save(folder / INNER_FOLDER)
        weights = {name: t.to(torch.bfloat16).contiguous() for name, t in self.parts.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE)
        content = {
            "codec": codec,
            "network": self.spec.network,
            "settings": upgrade_fields(plugins.find_part("network", self.spec.network).Config, self.spec.settings),
            "latent": self.spec.latent,
            "grid": self.spec.grid,
            "has_log_variance": self.spec.has_log_variance,
            **extras,
        }
        (folder / "codec.json").write_text(json.dumps(content) + "\n")

    @classmethod
    def load(cls, folder: Path, codec: str, extra_keys: Iterable[str]) -> tuple["Autoencoder", dict[str, Any]]:
        """Return the autoencoder in the folder of a codec, and the extras that were saved with it.

        ValueError names the file that is missing or damaged. Nothing in the folder is executed.
        """
        path = folder / "codec.json"
        content = rename_keys(read_json(path), {"spread": "has_log_variance"})
        required_keys = {"network", "settings", "latent", "grid", "has_log_variance", *extra_keys}
        if upgrade_part("codec", str(content.pop("codec", None))) != codec or set(content) != required_keys:
            keys = ", ".join(["codec", *sorted(required_keys)])
            raise damaged_error(path, format_message("codecs.wrong_codec_table", codec=codec, keys=keys))
        spec = parse_spec(path, content)
        name = read_json(folder / INNER_FOLDER / "codec.json").get("codec")
        inner_codec = plugins.find_part("codec", str(name)).Codec.load(folder / INNER_FOLDER)
        if not isinstance(inner_codec.space, SignalSpace):
            raise damaged_error(folder / INNER_FOLDER, format_message("codecs.inner_codec_without_signal", codec=name))
        try:
            parts = spec.build_networks(inner_codec.space)
            tensors = load_file(folder / WEIGHTS_FILE)
            names = upgrade_tensors(spec.network, tensors, parts.state_dict())
            parts.load_state_dict({names[name]: tensor.float() for name, tensor in tensors.items()}, assign=True)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            reason = format_message("codecs.weights_mismatch", reason=error)
            raise damaged_error(folder / WEIGHTS_FILE, reason) from None
        return cls(inner_codec, spec, parts.eval().requires_grad_(False)), {key: content[key] for key in extra_keys}


def parse_spec(path: Path, content: Mapping[str, Any]) -> AutoencoderSpec:
    """Return the spec in a codec.json; check that every number is in bounds before anything is built from it."""
    network, settings, has_log_variance = content["network"], content["settings"], content["has_log_variance"]
    if not (isinstance(network, str) and isinstance(settings, dict) and isinstance(has_log_variance, bool)):
        raise damaged_error(path, format_message("codecs.bad_autoencoder_types"))
    sides = content["grid"] if isinstance(content["grid"], list) else [0]
    sizes = [content["latent"], *sides, *(1 + n for n in settings.values() if type(n) is int)]
    if not all(type(n) is int and 0 < n <= LARGEST_SETTING for n in sizes):
        raise damaged_error(path, format_message("codecs.bad_autoencoder_numbers", limit=LARGEST_SETTING))
    return AutoencoderSpec(network, settings, content["latent"], tuple(sides), has_log_variance)
