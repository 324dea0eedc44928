"""Prepares pictures: decoded within bounds, brought to size, captioned, compared by how they look."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genloom.collect import licence
from genloom.collect.image import captions, files, likeness, reading, telling
from genloom.collect.image.reading import Raw
from genloom.collect.options import Options
from genloom.collect.preparation import Document, Tallies
from genloom.collect.sources import Found
from genloom.media import image
from genloom.media.image import decoding
from genloom.types import Item

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "picture"
offer = "png, jpg, webp, gif, bmp, tiff or svg files, or parquet files with pictures in them"
removed = telling.REMOVED
split_note = telling.split_note
foreign = ("scrub", "min_quality", "languages", "piece_characters")
claims = files.claims
sort = files.sort
read = reading.read
similarity = likeness.similarity
sketch = likeness.sketch
facts = telling.facts
kept = telling.kept
changes = telling.changes
sections = telling.sections


def settled(options: Options, found: Sequence[Found]) -> Options:
    """The options as they are, their background known to be a colour."""
    decoding.colour(options.background)
    return options


def document(raw: Raw, options: Options, tallies: Tallies) -> tuple[Document, np.ndarray]:
    """The picture packed, with its caption; its likeness is a thumbnail. See Preparation."""
    picture = decoding.decode(raw.data, options.size, options.background)
    pixels = picture.pixels
    caption, said_by = captions.first(
        (raw.caption, raw.said_by),
        (picture.said.caption, "the file itself"),
        (captions.words(raw.stem), "the file's name"),
        (captions.words(raw.folder), "the folder's name"),
    )
    said = raw.licence or licence.named(picture.licence)
    content = image.pack(pixels)
    height, width, _ = pixels.shape
    tallies["changed"].update(telling.kind_of(change) for change in picture.changes)
    tallies["changed"]["made smaller"] += (width, height) != (picture.width, picture.height) and picture.format != "SVG"
    doubts = tuple(telling.kind_of(doubt) for doubt in image.check(Item(pixels, meta=picture.facts())))
    digest = hashlib.sha256(f"{width} {height} ".encode() + pixels.tobytes()).digest()
    return (
        Document(
            caption,
            digest,
            raw.source,
            options.licence or said or raw.inherited,
            len(content),
            {"content": content, "width": width, "height": height},
            {"captions": said_by, "formats": picture.format},
            doubts,
        ),
        likeness.thumbnail(pixels),
    )


def columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """The columns content (PNG), width and height."""
    import pyarrow as pa

    kinds = {"content": pa.binary(), "width": pa.int32(), "height": pa.int32()}
    return {name: pa.array([one.columns[name] for one in documents], kind) for name, kind in kinds.items()}
