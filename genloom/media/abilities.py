"""Optional abilities of media, each with a default for a medium that does not define it.

A medium is a module with `kind, suffixes, open, save, preview, check, encode, decode`. It can also define the names in
`DEFAULTS`; all other code reads them by `get_ability(medium, name)`.
"""

import hashlib
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from genloom.types import Display, Item


def get_ability(medium: Any, name: str) -> Any:
    """Return what the medium defines under this name, else the default; KeyError for a name without a default."""
    default = DEFAULTS[name]
    return getattr(medium, name, partial(default, medium) if callable(default) else default)


def show(medium: Any, value: Any) -> Display:
    """Return the encoded value, and its preview for a terminal."""
    return Display(guess_mime(medium), medium.encode(value), medium.preview(Item(value)))


def guess_mime(medium: Any) -> str:
    """Return the MIME type of the files of a medium."""
    return mimetypes.guess_type(f"value{medium.suffixes[0]}")[0] or "application/octet-stream"


def guess_suffix(mime: str) -> str:
    """Return the suffix of files of a MIME type."""
    return mimetypes.guess_extension(mime) or ".bin"


def count_units(medium: Any, value: Any) -> int:
    """Return the number of units in a value, which bits are divided by: here bytes of the encoded value."""
    return len(medium.encode(value))


def cut(medium: Any, value: Any, max_units: int) -> Any:
    """Return the beginning of a value, about `max_units` long: here all of it, since not every value can be cut."""
    return value


def split(medium: Any, value: Any, count: int) -> Sequence[Any]:
    """Split a value into at most `count` passages of about equal length: here one, the value."""
    return [value]


def describe(medium: Any, value: Any) -> Mapping[str, float]:
    """Return facts about a value, by a name with its unit."""
    unit = get_ability(medium, "unit")
    return {f"{unit}s": float(get_ability(medium, "count_units")(value))}


def sheet(medium: Any, values: Sequence[Any], captions: Sequence[str] = ()) -> Display:
    """Return several values on one page: by default their previews as text, each under its number and caption."""
    captions = captions or [""] * len(values)
    text = "\n\n".join(
        f"── {n} · {caption}".rstrip(" ·") + f"\n{get_ability(medium, 'show')(value).text}"
        for n, (value, caption) in enumerate(zip(values, captions, strict=True), start=1)
    )
    return Display("text/plain", text.encode("utf-8", "surrogatepass"), text)


def require_save_suffix(medium: Any, path: Path) -> None:
    """Raise GenloomError for a path that `save` would refuse for its suffix: here it is not known before."""


def identify_value(medium: Any, value: Any) -> str:
    """Return a text that is the same for values that are the same: here a digest of the encoded value."""
    return hashlib.sha256(medium.encode(value)).hexdigest()


def list_alignments(medium: Any, value: Any, size: Sequence[int]) -> Sequence[tuple[str, Any]]:
    """Return what was perhaps turned or cut to this value, by what was done to it: here nothing."""
    return []


def list_writings(medium: Any, value: Any) -> Sequence[Any]:
    """Return the ways in which a model may have written a value, the most likely first: here one, as it is."""
    return [value]


DEFAULTS: Mapping[str, Any | Callable[..., Any]] = {
    "show": show,  # (value) -> Display: one value for a page and for a terminal
    "sheet": sheet,  # (values, captions) -> Display: several values on one page
    "screen_value": None,  # (value) -> str: why a value is not handed out, "" if it may be; None: everything is
    "render_collection": None,  # (items, suffix) -> bytes: one file with several values; None: each has its own file
    "collection_suffixes": (),  # of the formats whose files hold several values
    "open_collection": None,  # (path) -> items: the values of such a file, as written there; None: none is read
    "notice": "",  # what is said once with outputs, such as what they are not to be used for
    "render_sound": None,  # (value) -> Display: what a page plays beside what `show` gives; None: nothing
    "unit": "byte",  # of the length of a value: byte, pixel, note, heavy atom; losses are given in bits per unit
    "count_units": count_units,  # (value) -> int
    "sequence": "document",  # how token models read a data set: each value on its own, or as one "stream"
    "cut": cut,  # (value, max_units) -> value
    "split": split,  # (value, count) -> values
    "describe": describe,  # (value) -> {fact: number}, for reports
    "parse": None,  # (text) -> value: a value as people write it, to continue it; None: values are not written
    "plural": "documents",  # what a data set counts
    "max_tokens": 400,  # that a token model generates by default
    "suggested_params": {},  # of the sampler, where people generate without a choice; see sampling_params.py
    "tokens_per_sample": 0,  # how many tokens a signal counts for when a model's size is chosen; 0: by its bytes
    "save_suffixes": (),  # of the formats that values can be saved in besides their own
    "enlarge_value": None,  # (value, factor, report) -> value: a larger one; None: values have no size
    "SaveOptions": None,  # a dataclass of `settings.option` fields, the third argument of `save`; None: it has none
    "require_save_suffix": require_save_suffix,  # (path): raises for a suffix that `save` refuses, before the work
    "default_recipes": (),  # of the models that `train` makes; see types.DefaultRecipe
    "feature_extractor": "",  # a module of evaluate/features to compare values in; "": none
    "extract_style_features": None,  # (value) -> array: what people notice first; None: unknown
    "persons": (),  # that values can show or let hear: "face", "voice"; data then need a consent, or a word on it
    "identify_value": identify_value,  # (value) -> str, the same for values that are, however they are written
    "find_family": None,  # (value) -> str: a group of values that are variants of each other; None: unknown
    "list_writings": list_writings,  # (value) -> values: the texts of one molecule, for example
    "list_alignments": list_alignments,  # (value, size) -> (name, value) pairs: what an edited value may have been
}
