"""Cards of models and data sets, filled from their lineage."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.errors import GenloomError
from genloom.store.files import expand_home, write_atomic

if TYPE_CHECKING:
    from genloom.api.datasets import Dataset
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.trust.cards.card import Card as Content

CardFormat = Literal["md", "croissant", "html", "json"]
CardKind = Literal["", "model", "data"]


@dataclass(frozen=True)
class Card:
    """The card of a model or data set; `print` shows it in Markdown, notebooks as a page."""

    content: "Content"
    dataset: "Dataset | None" = None  # whose card it is; None: that of a model

    def render(self, to: CardFormat = "md") -> str:
        """Return the card in a format: md (with the front matter of the Hugging Face hub), html, json or croissant.

        Raises
        ------
        GenloomError
            trust.croissant_of_model: Croissant describes data sets only.
        """
        match to:
            case "md":
                return self.content.render_markdown()
            case "html":
                return self.content.render_html()
            case "json":
                return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        return json.dumps(self.to_croissant(), indent=1, ensure_ascii=False) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return the facts of the card as JSON values."""
        return self.content.to_json()

    def to_croissant(self) -> dict[str, Any]:
        """Return the data set as Croissant 1.1; raises GenloomError (trust.croissant_of_model) for a model."""
        from genloom.trust.cards.croissant import to_croissant

        if self.dataset is None:
            raise GenloomError("trust.croissant_of_model", name=self.content.title)
        return to_croissant(self.dataset.stored, self.content)

    def save(self, path: str | Path, to: CardFormat = "md") -> Path:
        """Write the card to a path and return it; see `render`."""
        path = expand_home(path)
        write_atomic(path, self.render(to))
        return path

    def __str__(self) -> str:
        return self.render("md")

    def __repr__(self) -> str:
        return f"<Card of {self.content.title}>"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.render("html"))}" style="width: 100%; height: 40em; border: 0"></iframe>'


def build_card(workspace: "Workspace", thing: "Model | Dataset | str", *, kind: CardKind = "") -> Card:
    """Return the card of a model or data set, filled from its lineage: licences and conflicts, data, training, results.

    Parameters
    ----------
    thing
        Model or data set, or its name; NAME@DIGEST is a version of a data set.
    kind
        Kind, where a model and a data set have the same name: model or data. "": the model.

    Raises
    ------
    GenloomError
        store.unknown_name, store.unknown_name_near: there is neither; store.in_bin: it was removed.
    """
    from genloom.api.datasets import Dataset
    from genloom.api.models import Model
    from genloom.trust.cards.build import build_data_card, build_model_card

    if isinstance(thing, str):
        thing = _find_thing(workspace, thing, kind)
    if isinstance(thing, Model):
        return Card(build_model_card(workspace.store, workspace.ledger, thing.folder))
    assert isinstance(thing, Dataset)
    return Card(build_data_card(workspace.store, workspace.ledger, thing.stored), thing)


def _find_thing(workspace: "Workspace", name: str, kind: CardKind) -> "Model | Dataset":
    data_name, _, digest = name.partition("@")
    if kind == "data" or digest:
        found = workspace.dataset(data_name)
        if digest and not found.digest.startswith(digest):
            versions = [path.parent.name for path in found.folder.parent.glob("[!.]*/manifest.json")]
            found = workspace.dataset(data_name, next((each for each in versions if each.startswith(digest)), digest))
        return found
    try:
        return workspace.model(name)
    except GenloomError as error:
        if kind == "model" or not error.code.startswith(("store.unknown_name", "api.not_imported")):
            raise
        try:
            return workspace.dataset(name)
        except GenloomError:
            raise error from None
