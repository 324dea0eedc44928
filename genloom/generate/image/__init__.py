"""Editing of images: variations of a whole source image, or inpainting of a part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genloom import plugins
from genloom.errors import GenloomError
from genloom.generate.editing import (
    LoadBlob,
    SamplerStart,
    SaveBlob,
    SourceFile,
    check_edit_options,
    list_inputs,
    read_source_file,
    share_option,
)
from genloom.generate.image.inpainting import FittedImage, InpaintRegion, expand_canvas, split_mask
from genloom.media.image import open_mask
from genloom.media.opening import open_limited
from genloom.model import Model
from genloom.settings import option
from genloom.types import SignalSpace

if TYPE_CHECKING:
    from genloom.generate.engine import Request

MAX_MARGIN = 4096  # pixels that can be added on a side


@dataclass(frozen=True)
class EditOptions:
    """The source of an edit, and the part of it to change."""

    image: Path | None = option(None, "Image to start from; needs --mask, --strength or --outpaint.")
    mask: Path | None = option(None, "Mask of the image's size: white is generated, black stays, grey is mixed.")
    strength: float | None = share_option("Change, above 0 to 1: 1 replaces the source.")
    outpaint: str | None = option(None, "Pixels to add, left,right,top,bottom: 0,16,0,16.")


@dataclass(frozen=True, eq=False)
class EditSource:
    """A source image, uint8 (H, W, 3), and the part of it to change.

    A seamless edit generates holes that are apart in squares of their own, adapts what it generates to the colours
    beside it, and keeps the shape of an oblong image. Those of earlier versions did not, and replay as they were.
    """

    image: np.ndarray
    mask: np.ndarray | None = None  # (H, W): how much is generated, from 0 to 255, or True; None: everywhere
    strength: float = 1.0  # how much it changes: near 0 hardly anything, 1 everything
    file: SourceFile | None = None  # that the image comes from, if it is signed
    is_seamless: bool = False

    def __post_init__(self) -> None:
        if self.mask is not None and self.mask.dtype == bool:
            object.__setattr__(self, "mask", self.mask * np.uint8(255))
        if not 0 < self.strength <= 1:
            raise GenloomError("generate.bad_strength", value=self.strength)
        if self.mask is not None and self.mask.shape != self.image.shape[:2]:
            (height, width), (mask_height, mask_width) = self.image.shape[:2], self.mask.shape
            raise GenloomError(
                "generate.bad_mask_size", mask=f"{mask_width} × {mask_height}", image=f"{width} × {height}"
            )
        if self.mask is not None and not self.mask.any():
            raise GenloomError("generate.empty_mask")

    def prepare(self, model: Model, request: "Request") -> SamplerStart:
        codec: Any = model.codec
        if not isinstance(codec.space, SignalSpace) or "init_values" not in list_inputs(model):
            raise GenloomError("generate.no_edit_support", objective=model.design.objective)
        if self.mask is None:
            return self._prepare_variation(model)
        return self._prepare_pass(model, self.list_parts(model), [self.image] * len(request.prompts))

    def list_parts(self, model: Model) -> list[np.ndarray]:
        """Return the parts of the mask that have squares of their own, True where something is generated."""
        assert self.mask is not None
        return split_mask(self.mask > 0, measure_side(model)) if self.is_seamless else [self.mask > 0]

    def count_passes(self, model: Model) -> int:
        return 1 if self.mask is None else len(self.list_parts(model))

    def _prepare_variation(self, model: Model) -> SamplerStart:
        is_oblong = self.is_seamless and self.image.shape[0] != self.image.shape[1]
        if not is_oblong:
            init_values = torch.from_numpy(model.codec.encode(self.image)).float()
            return SamplerStart({"init_values": init_values, "strength": self.strength})
        fitted = FittedImage(self.image, measure_side(model))
        init_values = torch.from_numpy(model.codec.encode(fitted.model_input)).float()
        return SamplerStart({"init_values": init_values, "strength": self.strength}, fitted.cut)

    def _prepare_pass(self, model: Model, parts: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> SamplerStart:
        """Return the start of the pass for the first of the parts that are missing, of the image of each row."""
        assert self.mask is not None
        opacity = self.mask / np.float32(255) if (self.mask % 255).any() else None
        side, missing = measure_side(model), np.logical_or.reduce(parts)
        regions = [InpaintRegion(image, parts[0], side, missing, opacity, self.is_seamless) for image in images]
        distinct_regions = regions[:1] if all(image is images[0] for image in images) else regions
        inputs = [torch.from_numpy(model.codec.encode(region.model_input)).float() for region in distinct_regions]
        init_values = inputs[0] if len(inputs) == 1 else torch.stack(inputs)
        space: Any = model.codec.space
        mask = torch.from_numpy(regions[0].downsample_mask(space.size))
        start = {"init_values": init_values, "strength": self.strength, "known_values": init_values, "mask": mask}
        return SamplerStart(
            start,
            finish_rows=lambda values: [region.paste(value) for region, value in zip(regions, values, strict=True)],
            continue_with=(lambda results: self._prepare_pass(model, parts[1:], results)) if len(parts) > 1 else None,
        )

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record: dict[str, Any] = {"image": save_blob(medium.encode(self.image), medium.suffixes[0])}
        if self.mask is not None:
            mask = np.repeat(self.mask[..., None], 3, 2)
            record["mask"] = save_blob(medium.encode(mask), medium.suffixes[0])
        record |= {"seamless": True} if self.is_seamless else {}
        return {**record, **(self.file.pack(save_blob) if self.file else {}), "strength": self.strength}


def build_edit(options: EditOptions, model: Model) -> EditSource:
    """Return the opened image with its mask; raise ValueError if the options contradict each other."""
    check_edit_options(options)
    if options.image is None:
        raise GenloomError("generate.edit_without_source", option="image")
    if options.mask is None and options.strength is None and options.outpaint is None:
        raise GenloomError("generate.image_without_edit")
    medium = plugins.find_part("medium", model.design.medium)
    image, edit_mask = open_limited(medium.open, options.image).value, None
    if options.mask is not None:
        edit_mask = open_limited(open_mask, options.mask)
    strength = 1.0 if options.strength is None else options.strength
    edit_source = EditSource(image, edit_mask, strength, read_source_file(options.image), is_seamless=True)
    if options.outpaint is None:
        return edit_source
    margins = parse_margins(options.outpaint)
    canvas, is_outside = expand_canvas(image, *margins)
    mask = is_outside * np.uint8(255)
    if edit_mask is not None:
        mask = np.maximum(mask, expand_canvas(edit_mask, *margins)[0])
    return replace(edit_source, image=canvas, mask=mask)


def measure_side(model: Model) -> int:
    """Return the side of the images that a model generates, in pixels."""
    space = model.codec.space
    assert isinstance(space, SignalSpace)
    return len(model.codec.decode(np.zeros((space.channels, *space.size), np.float32)))


def parse_margins(text: str) -> tuple[int, int, int, int]:
    """Return the pixels to add at left, right, top and bottom."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(n.isascii() and n.isdigit() and int(n) <= MAX_MARGIN for n in numbers):
        raise GenloomError("generate.bad_outpaint", value=text, maximum=MAX_MARGIN)
    left, right, top, bottom = map(int, numbers)
    if not left + right + top + bottom:
        raise GenloomError("generate.empty_outpaint")
    return left, right, top, bottom


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> EditSource:
    """Return the edit of a record; raise ValueError if its image is missing or was changed."""
    image = medium.decode(load_blob(str(record["image"])))
    mask = medium.decode(load_blob(str(record["mask"])))[..., 0] if "mask" in record else None
    return EditSource(image, mask, float(record["strength"]), is_seamless=bool(record.get("seamless")))
