"""Captions of single icons, in several forms, from their labels, tags, categories and styles."""

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.fetch import Icon
from recipes.icons.heldout import is_held_out
from recipes.icons.plans import COUNTS
from recipes.icons.vocabulary import NOUNS, with_article

# The style of each set. Fluent is the default style, so captions name it only sometimes; the others always.
STYLES = {
    "fluent-emoji-flat": "flat style",
    "noto": "glossy style",
    "twemoji": "simple style",
    "flat-color-icons": "office style",
    "icon-park": "outline style",
    "emojione": "classic style",
    "noto-v1": "blob style",
    "fxemoji": "soft style",
    "streamline-emojis": "cartoon style",
}
# Categories of countable things, and uncountable nouns.
_COUNTED = {"Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities", "Animals", "Foods"}
_MASS = {"fire", "fog", "wind", "bread", "rice", "bacon", "butter", "salt", "honey", "sake", "money", "sushi", "jeans"}
_KINDS = {
    "Animals & Nature": "nature",
    "Food & Drink": "food",
    "Travel & Places": "travel",
    "Smileys & Emotion": "emoji",
}


def build_caption(icon: Icon, place: str, rng: np.random.Generator) -> str:
    """Return a caption of the icon in a random form; `place` is a phrase like "on the beach", or ""."""
    label = f"{_add_article(icon)} {place}".strip()
    bare = f"{icon.label} {place}".strip()
    forms = [bare, label, label, label, f"an icon of {label}"]
    if tags := [tag for tag in icon.tags if tag.isalpha() and tag not in icon.label]:
        forms.append(", ".join([bare, *(tags[k] for k in rng.permutation(len(tags))[:2])]))
    if icon.category in _KINDS:
        forms.append(f"{label}, {_KINDS[icon.category]}")
    text = forms[int(rng.integers(len(forms)))]
    style = STYLES[icon.set]
    return f"{text}, {style}" if icon.set != "fluent-emoji-flat" or rng.random() < 0.12 else text


def shows_held_out(icon: Icon, place: str = "") -> bool:
    """Return whether the icon shows a held-out combination: "green apple", "two hearts", a fox on the beach."""
    words = f" {icon.label} {icon.name.replace('-', ' ')} "
    nouns = [
        noun
        for noun, entry in NOUNS.items()
        if entry.icon == icon.name or f" {noun} " in words or f" {entry.plural} " in words
    ]
    combinations = [("colours", noun, colour) for noun in nouns for colour in NAMES if f" {colour} " in words]
    combinations += [("counting", noun, str(n)) for noun in nouns for n, word in COUNTS.items() if f" {word} " in words]
    combinations += [("one", noun, place) for noun in nouns if place]
    return any(is_held_out(*combination) for combination in combinations)


def _add_article(icon: Icon) -> str:
    last = icon.label.split()[-1]
    is_plural = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    if icon.category not in _COUNTED or is_plural or last in _MASS or " and " in icon.label:
        return icon.label
    return with_article(icon.label)
