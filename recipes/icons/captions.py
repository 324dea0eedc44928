"""Captions of single icons, in several forms, from their labels, tags, categories and styles."""

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.fetch import Icon
from recipes.icons.heldout import held_out
from recipes.icons.plans import COUNTS
from recipes.icons.vocabulary import NOUNS, article

# How each set looks. Fluent is what a prompt without a style gets, so it is named now and then; the others always.
STYLES = {
    "fluent-emoji-flat": "flat style",
    "noto": "glossy style",
    "twemoji": "simple style",
    "flat-color-icons": "office style",
    "icon-park": "outline style",
}
# Words of categories that can be counted, and of things that cannot.
_COUNTED = {"Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities", "Animals", "Foods"}
_MASS = {"fire", "fog", "wind", "bread", "rice", "bacon", "butter", "salt", "honey", "sake", "money", "sushi", "jeans"}
_KINDS = {
    "Animals & Nature": "nature",
    "Food & Drink": "food",
    "Travel & Places": "travel",
    "Smileys & Emotion": "emoji",
}


def caption(icon: Icon, place: str, rng: np.random.Generator) -> str:
    """One caption of the icon at a place said like "on the beach" (or ""), its form drawn by chance."""
    label = f"{_counted(icon)} {place}".strip()
    bare = f"{icon.label} {place}".strip()
    forms = [bare, label, label, label, f"an icon of {label}"]
    if tags := [tag for tag in icon.tags if tag.isalpha() and tag not in icon.label]:
        forms.append(", ".join([bare, *(tags[k] for k in rng.permutation(len(tags))[:2])]))
    if icon.category in _KINDS:
        forms.append(f"{label}, {_KINDS[icon.category]}")
    said = forms[int(rng.integers(len(forms)))]
    style = STYLES[icon.set]
    return f"{said}, {style}" if icon.set != "fluent-emoji-flat" or rng.random() < 0.12 else said


def shows_held_out(icon: Icon, place: str = "") -> bool:
    """Whether the icon shows there what is kept for measuring: "green apple", "two hearts", a fox on the beach."""
    said = f" {icon.label} {icon.name.replace('-', ' ')} "
    nouns = [
        noun
        for noun, known in NOUNS.items()
        if known.icon == icon.name or f" {noun} " in said or f" {known.plural} " in said
    ]
    shown = [("colours", noun, colour) for noun in nouns for colour in NAMES if f" {colour} " in said]
    shown += [("counting", noun, str(count)) for noun in nouns for count, word in COUNTS.items() if f" {word} " in said]
    shown += [("one", noun, place) for noun in nouns if place]
    return any(held_out(*each) for each in shown)


def _counted(icon: Icon) -> str:
    last = icon.label.split()[-1]
    several = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    if icon.category not in _COUNTED or several or last in _MASS or " and " in icon.label:
        return icon.label
    return article(icon.label)
