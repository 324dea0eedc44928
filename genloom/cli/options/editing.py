"""Options that edit images, and those that show several on one sheet or interpolate between two."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genloom import plugins
from genloom.cli.options.types import finite_float, int_range
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.generate.image import inpainting
from genloom.generate.image.editing import EditSource
from genloom.model import Model

MAX_MARGIN = 4096  # pixels that can be added on a side
DEFAULT_STEPS_BETWEEN = 8


@Parameter(name="*")
@dataclass(frozen=True)
class EditOptions:
    """What to start from, and how to show several images."""

    sheet: bool = False
    """Contact sheet of all images, stored beside them."""

    image: Path | None = None
    """Image to start from; needs --mask, --strength or --outpaint."""

    mask: Path | None = None
    """Mask of the same size as the image: white is generated, black keeps its pixels."""

    strength: Annotated[float, finite_float(lambda share: 0 < share <= 1, "a number above 0, at most 1")] | None = None
    """Strength of the change, above 0 to 1, everywhere or where the mask is white."""

    outpaint: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Pixels to add as left,right,top,bottom, e.g. 0,16,0,16."""

    interpolate: bool = False
    """Interpolation between two prompts, or between two outputs of one prompt."""

    steps_between: Annotated[int, int_range(2)] | None = None
    """Number of images of an interpolation. [default: 8]"""

    def load_edit_source(self, model: Model) -> EditSource | None:
        """Return the opened image with its mask; raise if the options contradict each other or the model."""
        if self.image is None:
            for option in ("mask", "strength", "outpaint"):
                if getattr(self, option) is not None:
                    raise GenloomError("cli.edit_without_image", option=option)
            return None
        if not engine.can_edit_images(model):
            raise GenloomError("cli.model_cannot_edit", model=model.ref)
        if self.mask is None and self.strength is None and self.outpaint is None:
            raise GenloomError("cli.image_without_edit")
        medium = plugins.find_part("medium", model.design.medium)
        image, edit_mask = medium.open(self.image).value, None
        if self.mask is not None:
            edit_mask = medium.open(self.mask).value.mean(-1) > 127
        edit_source = EditSource(image, edit_mask, 1.0 if self.strength is None else self.strength)
        if self.outpaint is None:
            return edit_source
        canvas, outside_mask = inpainting.expand_canvas(image, *parse_margins(self.outpaint))
        if edit_mask is not None:
            outside_mask |= inpainting.expand_canvas(edit_mask, *parse_margins(self.outpaint))[0]
        return replace(edit_source, image=canvas, mask=outside_mask)

    def apply_to_request(self, request: engine.Request, model: Model) -> engine.Request:
        """Return the request with the image to edit, or with the interpolation; raise for options that contradict."""
        request = replace(request, edit=self.load_edit_source(model))
        if self.steps_between is not None and not self.interpolate:
            raise GenloomError("cli.steps_between_without_interpolate")
        if not self.interpolate:
            return request
        if len(request.prompts) != 2:
            raise GenloomError("cli.interpolate_prompts", count=len(request.prompts))
        return engine.interpolate_request(
            request, DEFAULT_STEPS_BETWEEN if self.steps_between is None else self.steps_between
        )


DEFAULT_EDIT_OPTIONS = EditOptions()


def parse_margins(text: str) -> tuple[int, int, int, int]:
    """Return the pixels to add at left, right, top and bottom."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(n.isascii() and n.isdigit() and int(n) <= MAX_MARGIN for n in numbers):
        raise GenloomError("cli.bad_outpaint", value=text, maximum=MAX_MARGIN)
    left, right, top, bottom = map(int, numbers)
    if not left + right + top + bottom:
        raise GenloomError("cli.empty_outpaint")
    return left, right, top, bottom
