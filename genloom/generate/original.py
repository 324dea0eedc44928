"""The picture that outputs are made from: to be varied as a whole, or in a part of it that is made anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from genloom.generate.inpainting import Hole
from genloom.model import Model
from genloom.store.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Original:
    """A picture, uint8 (H, W, 3), and what of it is to change."""

    picture: np.ndarray
    missing: np.ndarray | None = None  # (H, W), True where it is made anew; None: it changes everywhere
    change: float = 1.0  # how much: near 0 hardly anything of what was there, 1 all of it

    def __post_init__(self) -> None:
        if not 0 < self.change <= 1:
            raise ValueError(f"A picture can be varied by more than 0 and at most 1, got {self.change}.")
        if self.missing is not None and self.missing.shape != self.picture.shape[:2]:
            (height, width), (high, wide) = self.picture.shape[:2], self.missing.shape
            raise ValueError(
                f"The mask has {wide} × {high} pixels, and the picture {width} × {height}. "
                "Give a mask of the picture's size: white where it is to be made anew, black where it is kept."
            )
        if self.missing is not None and not self.missing.any():
            raise ValueError("The mask is black all over: nothing would change. Paint white what is to be made anew.")


def given(original: Original, model: Model) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """What a sampler is given so as to begin with the picture, and what makes a whole picture of what comes of it."""
    codec: Any = model.codec
    if original.missing is None:
        start = torch.from_numpy(codec.encode(original.picture)).float()
        return {"start": start, "strength": original.change}, lambda made: made
    blank = np.zeros((codec.space.channels, *codec.space.size), np.float32)
    hole = Hole(original.picture, original.missing, side=len(codec.decode(blank)))
    start = torch.from_numpy(codec.encode(hole.square)).float()
    mask = torch.from_numpy(hole.unknown(codec.space.size))
    return {"start": start, "strength": original.change, "known": start, "mask": mask}, hole.paste


def kept(workspace: Workspace, original: Original, medium: Any) -> dict[str, Any]:
    """How a record names the picture; it is put beside the outputs, so that they can be made again."""
    facts: dict[str, Any] = {"picture": workspace.keep_original(medium.pack(original.picture), medium.suffixes[0])}
    if original.missing is not None:
        mask = np.repeat(original.missing[..., None] * np.uint8(255), 3, 2)
        facts["missing"] = workspace.keep_original(medium.pack(mask), medium.suffixes[0])
    return {**facts, "change": original.change}


def again(workspace: Workspace, facts: Mapping[str, Any], medium: Any) -> Original:
    """The picture that a record names. Raises ValueError where it is gone or was changed."""
    picture = medium.unpack(workspace.original(str(facts["picture"])))
    missing = medium.unpack(workspace.original(str(facts["missing"])))[..., 0] > 127 if "missing" in facts else None
    return Original(picture, missing, float(facts["change"]))
