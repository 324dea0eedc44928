"""The options that make pictures from pictures, and sheets and ways of several."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genloom import plugins
from genloom.cli.options.types import finite_float, int_range
from genloom.generate import engine
from genloom.generate.image import inpainting
from genloom.generate.image.editing import EditSource
from genloom.model import Model

MAX_MARGIN = 4096  # pixels that a picture can be widened by on a side
DEFAULT_STEPS_BETWEEN = 8


@Parameter(name="*")
@dataclass(frozen=True)
class EditOptions:
    """What to start from, and how to show several pictures."""

    sheet: bool = False
    """Also put all pictures on one sheet, beside them."""

    image: Path | None = None
    """A picture to start from: say with --mask, --strength or --outpaint what of it to change."""

    mask: Path | None = None
    """A picture as large as the source: what is white in it is made anew, what is black stays to the pixel."""

    strength: Annotated[float, finite_float(lambda share: 0 < share <= 1, "a number above 0, at most 1")] | None = None
    """How much of the source to change, everywhere or where the mask is white: 0.1 hardly anything, 1 all of it."""

    outpaint: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Pixels to add to the source at its left,right,top,bottom, like 0,16,0,16."""

    interpolate: bool = False
    """Go from one prompt to a second one in small steps, or, with one prompt, from one picture of it to another."""

    steps_between: Annotated[int, int_range(2)] | None = None
    """In how many pictures to go there. Default: 8."""

    def load_edit_source(self, model: Model) -> EditSource | None:
        """The source, opened; ValueError where it, the mask and what is to be done do not go together."""
        if self.image is None:
            for option in ("mask", "strength", "outpaint"):
                if getattr(self, option) is not None:
                    raise ValueError(f"--{option} changes a picture, and there is none: name it with --image FILE.")
            return None
        if not engine.can_edit_images(model):
            raise ValueError(f"The model {model.ref} does not start from a picture: leave --image away.")
        if self.mask is None and self.strength is None and self.outpaint is None:
            raise ValueError(
                "What is to be done with the source? --mask FILE makes a part of it anew, --strength 0.4 changes all of "
                "it, --outpaint 16,16,0,0 adds room at its left and right."
            )
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
        return replace(edit_source, picture=canvas, missing=outside_mask)

    def apply_to_request(self, request: engine.Request, model: Model) -> engine.Request:
        """What is asked for, from the source or as a way between two. Raises ValueError for what cannot be."""
        request = replace(request, edit=self.load_edit_source(model))
        if self.steps_between is not None and not self.interpolate:
            raise ValueError("--steps-between counts the steps between two pictures: ask for them with --interpolate.")
        if not self.interpolate:
            return request
        if len(request.prompts) != 2:
            raise ValueError("--interpolate goes from one prompt to another: give two prompts, or one, and no --count.")
        return engine.interpolate_request(
            request, DEFAULT_STEPS_BETWEEN if self.steps_between is None else self.steps_between
        )


DEFAULT_EDIT_OPTIONS = EditOptions()  # where nothing is said


def parse_margins(text: str) -> tuple[int, int, int, int]:
    """Pixels at left, right, top and bottom."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(n.isascii() and n.isdigit() and int(n) <= MAX_MARGIN for n in numbers):
        raise ValueError(f"--outpaint {text}: say pixels for left,right,top,bottom, 0 to {MAX_MARGIN}, like 0,16,0,16.")
    left, right, top, bottom = map(int, numbers)
    if not left + right + top + bottom:
        raise ValueError("--outpaint 0,0,0,0 adds nothing. Say pixels for left,right,top,bottom, like 0,16,0,16.")
    return left, right, top, bottom
