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
from genloom.codecs.settings import damaged, read_json
from genloom.settings import made, table
from genloom.types import Codec, Cond, Role, Signal

WEIGHTS, INSIDE = "weights.safetensors", "inside"
LARGEST_SETTING = 1 << 12  # of a network's whole numbers, and of a latent's sides and channels


@dataclass(frozen=True)
class Shape:
    """What the two networks are and what lies between them: all that is needed to build them."""

    network: str
    settings: Mapping[str, Any]
    latent: int  # channels
    grid: tuple[int, ...]
    spread: bool  # whether the encoder gives a log-variance beside each mean

    def roles(self, outside: Signal) -> dict[str, Role]:
        middle = Signal(self.latent, self.grid)
        given = Signal(2 * self.latent, self.grid) if self.spread else middle
        return {"encoder": Role(outside, given), "decoder": Role(middle, outside)}

    def build(self, outside: Signal) -> nn.ModuleDict:
        """The networks without weights."""
        module = plugins.find("network", self.network)
        config = made(module.Config, self.settings, "network")
        with torch.device("meta"):
            return nn.ModuleDict({name: module.build(role, config) for name, role in self.roles(outside).items()})


@dataclass(frozen=True)
class Autoencoder:
    """Media by way of `inside` to a latent, and back. Pictures are coded one by one: each by itself alone."""

    inside: Codec
    shape: Shape
    parts: nn.ModuleDict

    @classmethod
    def of_model(cls, model: Any) -> "Autoencoder":
        """That of a trained model; ValueError where the model is none or looks at prompts."""
        objective = model.objective
        if not {"encoder", "decoder"} <= set(objective.roles) or not isinstance(model.codec.space, Signal):
            raise ValueError(
                f"The model {model.name!r} has no encoder and decoder to make a codec of. Train one: "
                "--set objective.name=mixture --set codec.name=pixels --set network.name=convolution"
            )
        if objective.cond != Cond():
            raise ValueError(
                f"The model {model.name!r} looks at prompts, which a codec has none of. Train one without."
            )
        module = plugins.find("network", model.design.network)
        settings = table(made(module.Config, model.design.network_settings, "network"))
        roles = objective.roles
        latent, given = roles["decoder"].takes, roles["encoder"].gives
        shape = Shape(model.design.network, settings, latent.channels, latent.size, given != latent)
        kept = {name: deepcopy(model.parts[name]) for name in ("encoder", "decoder")}
        parts = nn.ModuleDict(kept).to(torch.bfloat16).float()  # as it will be stored
        return cls(model.codec, shape, parts.eval().requires_grad_(False))

    @torch.inference_mode()
    def encode(self, value: Any) -> Tensor:
        """The latent's mean, 1 C *grid."""
        x = torch.from_numpy(np.asarray(self.inside.encode(value), np.float32))[None]
        return self.parts["encoder"](x)[:, : self.shape.latent]

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Any:
        """What a latent, 1 C *grid, stands for."""
        return self.inside.decode(self.parts["decoder"](z)[0].numpy())

    def save(self, folder: Path, codec: str, more: Mapping[str, Any]) -> None:
        """Write the codec of this name with what it keeps beside the networks; their weights in 16 bits."""
        folder.mkdir(exist_ok=True)
        (folder / INSIDE).mkdir(exist_ok=True)
        self.inside.save(folder / INSIDE)
        save_file({k: t.to(torch.bfloat16).contiguous() for k, t in self.parts.state_dict().items()}, folder / WEIGHTS)
        shape = self.shape
        told = {"network": shape.network, "settings": dict(shape.settings), "latent": shape.latent}
        kept = {"codec": codec, **told, "grid": shape.grid, "spread": shape.spread, **more}
        (folder / "codec.json").write_text(json.dumps(kept) + "\n")

    @classmethod
    def load(cls, folder: Path, codec: str, more: Iterable[str]) -> tuple["Autoencoder", dict[str, Any]]:
        """The autoencoder in a codec's folder, and what its codec keeps beside it under the names `more`.

        ValueError names the file that is missing or damaged. Nothing in the folder is executed.
        """
        path = folder / "codec.json"
        content, wanted = read_json(path), {"network", "settings", "latent", "grid", "spread", *more}
        if content.pop("codec", None) != codec or set(content) != wanted:
            raise damaged(path, f"it must be for the codec {codec!r} and set {', '.join(sorted(wanted))}")
        shape = shape_of(path, content)
        name = read_json(folder / INSIDE / "codec.json").get("codec")
        inside = plugins.find("codec", str(name)).Codec.load(folder / INSIDE)
        if not isinstance(inside.space, Signal):
            raise damaged(folder / INSIDE, f"the codec {name!r} gives no signal")
        try:
            parts = shape.build(inside.space)
            found = {name: t.float() for name, t in load_file(folder / WEIGHTS).items()}
            parts.load_state_dict(found, assign=True)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise damaged(folder / WEIGHTS, f"it does not fit codec.json ({error})") from None
        return cls(inside, shape, parts.eval().requires_grad_(False)), {key: content[key] for key in more}


def shape_of(path: Path, content: Mapping[str, Any]) -> Shape:
    """The shape that a codec.json tells, with every number in bounds before anything is built of it."""
    network, settings, spread = content["network"], content["settings"], content["spread"]
    if not (isinstance(network, str) and isinstance(settings, dict) and isinstance(spread, bool)):
        raise damaged(path, "network must be a name, settings a table, spread true or false")
    sides = content["grid"] if isinstance(content["grid"], list) else [0]
    sizes = [content["latent"], *sides, *(1 + n for n in settings.values() if type(n) is int)]
    if not all(type(n) is int and 0 < n <= LARGEST_SETTING for n in sizes):
        raise damaged(path, f"grid, latent and settings must be whole numbers up to {LARGEST_SETTING}")
    return Shape(network, settings, content["latent"], tuple(sides), spread)
