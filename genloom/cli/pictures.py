"""The options that make pictures from pictures, and sheets and ways of several."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genloom import plugins
from genloom.cli.numbers import real, whole
from genloom.generate import engine, inpainting
from genloom.generate.original import Original
from genloom.model import Model

MOST_ROOM = 4096  # pixels that a picture can be widened by on a side
FRAMES = 8


@Parameter(name="*")
@dataclass(frozen=True)
class Picturing:
    """What to start from, and how to show several pictures."""

    grid: bool = False
    """Also put all pictures on one sheet, beside them."""

    source: Path | None = None
    """A picture to start from: say with --mask, --vary or --outpaint what of it to change."""

    mask: Path | None = None
    """A picture as large as the source: what is white in it is made anew, what is black stays to the pixel."""

    vary: Annotated[float, real(lambda share: 0 < share <= 1, "a number above 0, at most 1")] | None = None
    """How much of the source to change, everywhere or where the mask is white: 0.1 hardly anything, 1 all of it."""

    outpaint: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Pixels to add to the source at its left,right,top,bottom, like 0,16,0,16."""

    interpolate: bool = False
    """Go from one prompt to a second one in small steps, or, with one prompt, from one picture of it to another."""

    frames: Annotated[int, whole(2)] | None = None
    """In how many pictures to go there. Default: 8."""

    def original(self, model: Model) -> Original | None:
        """The source, opened; ValueError where it, the mask and what is to be done do not go together."""
        if self.source is None:
            for option in ("mask", "vary", "outpaint"):
                if getattr(self, option) is not None:
                    raise ValueError(f"--{option} changes a picture, and there is none: name it with --source FILE.")
            return None
        if not engine.starts_from_pictures(model):
            raise ValueError(f"The model {model.ref} does not start from a picture: leave --source away.")
        if self.mask is None and self.vary is None and self.outpaint is None:
            raise ValueError(
                "What is to be done with the source? --mask FILE makes a part of it anew, --vary 0.4 changes all of "
                "it, --outpaint 16,16,0,0 adds room at its left and right."
            )
        medium = plugins.find("medium", model.design.medium)
        picture, missing = medium.open(self.source).value, None
        if self.mask is not None:
            missing = medium.open(self.mask).value.mean(-1) > 127
        original = Original(picture, missing, 1.0 if self.vary is None else self.vary)
        if self.outpaint is None:
            return original
        wide, beyond = inpainting.widened(picture, *room(self.outpaint))
        if missing is not None:
            beyond |= inpainting.widened(missing, *room(self.outpaint))[0]
        return replace(original, picture=wide, missing=beyond)

    def request(self, asked: engine.Request, model: Model) -> engine.Request:
        """What is asked for, from the source or as a way between two. Raises ValueError for what cannot be."""
        asked = replace(asked, original=self.original(model))
        if self.frames is not None and not self.interpolate:
            raise ValueError("--frames counts the steps between two pictures: ask for them with --interpolate.")
        if not self.interpolate:
            return asked
        if len(asked.prompts) != 2:
            raise ValueError("--interpolate goes from one prompt to another: give two prompts, or one, and no --count.")
        return engine.between(asked, FRAMES if self.frames is None else self.frames)


PICTURING = Picturing()  # where nothing is said


def room(said: str) -> tuple[int, int, int, int]:
    """Pixels at left, right, top and bottom."""
    numbers = [part.strip() for part in said.split(",")]
    if len(numbers) != 4 or not all(n.isascii() and n.isdigit() and int(n) <= MOST_ROOM for n in numbers):
        raise ValueError(f"--outpaint {said}: say pixels for left,right,top,bottom, 0 to {MOST_ROOM}, like 0,16,0,16.")
    left, right, top, bottom = map(int, numbers)
    if not left + right + top + bottom:
        raise ValueError("--outpaint 0,0,0,0 adds nothing. Say pixels for left,right,top,bottom, like 0,16,0,16.")
    return left, right, top, bottom
