"""Prepare pictures: decode them within bounds, resize, caption and compare them by their appearance."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genloom.collect import captions, licence
from genloom.collect.image import files, perceptual_hash, reader, report
from genloom.collect.image.caption_words import GENERIC_WORDS
from genloom.collect.image.options import Config
from genloom.collect.image.reader import RawImage
from genloom.collect.preparation import Counters, Document
from genloom.media import image
from genloom.media.image import decoding
from genloom.types import Item

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "picture"
accepted_files = "png, jpg, webp, gif, bmp, tiff or svg files, or parquet files with pictures in them"
drop_reasons = report.DROP_REASONS
describe_splits = report.describe_splits
count_matching_files = files.count_matching_files
select = files.select
read = reader.read
compute_similarity = perceptual_hash.compute_similarity
compute_sketches = perceptual_hash.compute_sketches
build_metadata = report.build_metadata
summary = report.summary
describe_changes = report.describe_changes
render_sections = report.render_sections


def build_document(raw: RawImage, options: Config, counters: Counters) -> tuple[Document, np.ndarray]:
    """Return the encoded picture with its caption, and its thumbnail for the sketch; see Preparation."""
    picture = decoding.decode_image(raw.data, options.size, options.background)
    pixels = picture.pixels
    caption, caption_source = captions.pick_caption(
        (raw.caption, raw.caption_source),
        (picture.metadata.caption, "the file itself"),
        (captions.derive_caption(raw.stem, GENERIC_WORDS), "the file's name"),
        (captions.derive_caption(raw.folder, GENERIC_WORDS), "the folder's name"),
    )
    file_licence = raw.licence or licence.identify_licence(picture.licence)
    content = image.encode(pixels)
    height, width, _ = pixels.shape
    counters["changed"].update(report.normalize_change(change) for change in picture.changes)
    counters["changed"]["made smaller"] += (width, height) != (
        picture.width,
        picture.height,
    ) and picture.format != "SVG"
    review_reasons = tuple(
        report.normalize_change(warning) for warning in image.check(Item(pixels, meta=picture.to_meta()))
    )
    digest = hashlib.sha256(f"{width} {height} ".encode() + pixels.tobytes()).digest()
    return (
        Document(
            caption,
            digest,
            raw.source,
            options.licence or file_licence or raw.folder_licence,
            len(content),
            {"content": content, "width": width, "height": height},
            {"captions": caption_source, "formats": picture.format},
            review_reasons,
        ),
        perceptual_hash.make_thumbnail(pixels),
    )


def build_columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """Return the columns content (PNG), width and height."""
    import pyarrow as pa

    column_types = {"content": pa.binary(), "width": pa.int32(), "height": pa.int32()}
    return {
        name: pa.array([document.columns[name] for document in documents], column_type)
        for name, column_type in column_types.items()
    }
