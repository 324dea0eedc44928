"""The picture that outputs are made from: to be varied as a whole, or in a part of it that is made anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from genloom.generate.image.inpainting import InpaintRegion
from genloom.model import Model
from genloom.store.workspace import Workspace


@dataclass(frozen=True, eq=False)
class EditSource:
    """A picture, uint8 (H, W, 3), and what of it is to change."""

    image: np.ndarray
    mask: np.ndarray | None = None  # (H, W), True where it is made anew; None: it changes everywhere
    strength: float = 1.0  # how much: near 0 hardly anything of what was there, 1 all of it

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ValueError(f"A picture can be varied by more than 0 and at most 1, got {self.strength}.")
        if self.mask is not None and self.mask.shape != self.image.shape[:2]:
            (height, width), (mask_height, mask_width) = self.image.shape[:2], self.mask.shape
            raise ValueError(
                f"The mask has {mask_width} × {mask_height} pixels, and the picture {width} × {height}. "
                "Give a mask of the picture's size: white where it is to be made anew, black where it is kept."
            )
        if self.mask is not None and not self.mask.any():
            raise ValueError("The mask is black all over: nothing would change. Paint white what is to be made anew.")


def prepare_edit(source: EditSource, model: Model) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """What a sampler is given so as to begin with the picture, and what makes a whole picture of what comes of it."""
    codec: Any = model.codec
    if source.mask is None:
        init_values = torch.from_numpy(codec.encode(source.image)).float()
        return {"init_values": init_values, "strength": source.strength}, lambda value: value
    blank_latent = np.zeros((codec.space.channels, *codec.space.size), np.float32)
    region = InpaintRegion(source.image, source.mask, side=len(codec.decode(blank_latent)))
    init_values = torch.from_numpy(codec.encode(region.model_input)).float()
    mask = torch.from_numpy(region.downsample_mask(codec.space.size))
    return {
        "init_values": init_values,
        "strength": source.strength,
        "known_values": init_values,
        "mask": mask,
    }, region.paste


def store_edit_source(workspace: Workspace, source: EditSource, medium: Any) -> dict[str, Any]:
    """How a record names the picture; it is put beside the outputs, so that they can be made again."""
    record: dict[str, Any] = {"image": workspace.save_original(medium.encode(source.image), medium.suffixes[0])}
    if source.mask is not None:
        mask = np.repeat(source.mask[..., None] * np.uint8(255), 3, 2)
        record["mask"] = workspace.save_original(medium.encode(mask), medium.suffixes[0])
    return {**record, "strength": source.strength}


def load_edit_source(workspace: Workspace, record: Mapping[str, Any], medium: Any) -> EditSource:
    """The picture that a record names. Raises ValueError where it is gone or was changed."""
    image = medium.decode(workspace.load_original(str(record["image"])))
    mask = medium.decode(workspace.load_original(str(record["mask"])))[..., 0] > 127 if "mask" in record else None
    return EditSource(image, mask, float(record["strength"]))
