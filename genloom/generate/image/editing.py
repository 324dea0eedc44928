"""Image editing: variations of a whole source image, or inpainting of a part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.generate.image.inpainting import InpaintRegion
from genloom.model import Model
from genloom.store.workspace import Workspace


@dataclass(frozen=True, eq=False)
class EditSource:
    """A source image, uint8 (H, W, 3), and the part of it to change."""

    image: np.ndarray
    mask: np.ndarray | None = None  # (H, W), True where it is generated; None: everywhere
    strength: float = 1.0  # how much it changes: near 0 hardly anything, 1 everything

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise GenloomError("generate.bad_strength", value=self.strength)
        if self.mask is not None and self.mask.shape != self.image.shape[:2]:
            (height, width), (mask_height, mask_width) = self.image.shape[:2], self.mask.shape
            raise GenloomError(
                "generate.bad_mask_size", mask=f"{mask_width} × {mask_height}", image=f"{width} × {height}"
            )
        if self.mask is not None and not self.mask.any():
            raise GenloomError("generate.empty_mask")


def prepare_edit(source: EditSource, model: Model) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Return sampling parameters that start from the image, and a function from the model's output to the result."""
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
    """Store the image beside the outputs, for replays, and return its record."""
    record: dict[str, Any] = {"image": workspace.save_original(medium.encode(source.image), medium.suffixes[0])}
    if source.mask is not None:
        mask = np.repeat(source.mask[..., None] * np.uint8(255), 3, 2)
        record["mask"] = workspace.save_original(medium.encode(mask), medium.suffixes[0])
    return {**record, "strength": source.strength}


def load_edit_source(workspace: Workspace, record: Mapping[str, Any], medium: Any) -> EditSource:
    """Load the image of a record; raises ValueError if it is missing or was changed."""
    image = medium.decode(workspace.load_original(str(record["image"])))
    mask = medium.decode(workspace.load_original(str(record["mask"])))[..., 0] > 127 if "mask" in record else None
    return EditSource(image, mask, float(record["strength"]))
