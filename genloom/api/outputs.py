"""Outputs of models: shown in notebooks, rated, and generated again from their records."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from genloom.api import copies as copying
from genloom.api.argument_types import check_arguments
from genloom.api.notebook import Listing, build_mimebundle, to_html
from genloom.api.output_kinds import find_kind
from genloom.api.signing import Note, sign_display, sign_file_of, sign_page, write_outgoing
from genloom.errors import GenloomError
from genloom.store.files import expand_home, is_folder_path
from genloom.text_format import remove_controls

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.generate.selection import SelectionReport
    from genloom.store.ledger import Event
    from genloom.trust.manifests import Manifest
    from genloom.types import Display

_MAX_SHOWN = 24  # outputs on one page of a notebook


@check_arguments
@dataclass(frozen=True)
class Output:
    """A stored output of a model.

    Notebooks show it as its medium does: as text, image, sound or table.
    """

    workspace: "Workspace"
    id: str
    path: Path
    record: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The version that generated it, e.g. notes/2."""
        return str(self.record.get("model", ""))

    @property
    def prompt(self) -> str:
        return str(self.record.get("prompt") or "")

    @property
    def nonce(self) -> int | None:
        """The number that seeds its noise; None in records of older versions without one."""
        nonces, row = (self.record.get("request") or {}).get("nonces") or (), int(self.record.get("row") or 0)
        return int(nonces[row]) if row < len(nonces) else None

    @cached_property
    def medium(self) -> Any:
        """The module of its medium."""
        from genloom.rate.outputs import find_medium

        return find_medium(self.path, self.record)

    @cached_property
    def value(self) -> Any:
        """The whole value: a str with its prompt for text, an array for an image."""
        self.verify()
        if self.record.get("written") is not None:  # text is read as it was written, however strange its characters
            return self.medium.decode(self.path.read_bytes())
        return self.medium.open(self.path).value

    @property
    def continuation(self) -> Any:
        """The part that the model generated: of text without the prompt."""
        from genloom.rate.outputs import load_output

        return load_output(self.path, self.record)

    def verify(self) -> None:
        """Raise GenloomError (store.output_changed, store.output_gone) if the file is not as it was generated."""
        from genloom.store.output_files import verify_output

        verify_output(self.path, self.record)

    def show(self) -> "Display":
        """Return the output as bytes of a MIME type, and as text for a terminal."""
        from genloom.media.abilities import get_ability

        return get_ability(self.medium, "show")(self.value)

    def rate(
        self,
        *,
        up: bool | None = None,
        stars: int | None = None,
        note: str = "",
        rater: str = "",
        is_machine: bool = False,
        id: str = "",
    ) -> "Event":
        """Rate the output; see `Workspace.rate`."""
        return self.workspace.rate(self, up=up, stars=stars, note=note, rater=rater, is_machine=is_machine, id=id)

    def better_than(self, other: "Output | str", *, rater: str = "", id: str = "") -> "Event":
        """Record that this output is better than another one for the same prompt; see `Workspace.choose`."""
        return self.workspace.choose(self, other, "a", rater=rater, id=id)

    copies = copying.copies_of_output

    def replay(self, out: str | Path | None = None, *, note: Note | None = None) -> Any:
        """Generate the output again from its record, and return the value.

        With `out`, a path or a folder as `save` takes it, the value is written there, also if the file of the output
        was changed. The path of the output itself gets the bytes that were generated.

        Raises
        ------
        GenloomError
            generate.model_changed, store.output_changed: the model or the file is not as it was;
            generate.replay_differs, generate.replay_differs_by_machine: the bytes are not equal.
        """
        kind = find_kind(self.record)
        if kind is None:
            return self._replay_values(out, note)
        value = kind.replay(self)
        if out is not None:
            self.save(out, note=note)
        return value

    def _replay_values(self, out: str | Path | None, note: Note | None) -> Any:
        from genloom.generate.output_records import regenerate_output, replay_output
        from genloom.store.output_files import restore_output

        if out is None:
            return replay_output(self.workspace.store, self.id)[1]
        value, data = regenerate_output(self.workspace.store, self.id)
        if (target := self._name_copy(out)).resolve() == self.path.resolve():
            restore_output(target, data)
        else:
            self._write_copy(target, lambda: value, data, note)
        return value

    def save(self, path: str | Path, *, note: Note | None = None, **options: Any) -> Path:
        """Write the output to a path or into a folder, which exists or whose path ends in a slash; return where it is.

        A path with another suffix gets the value in the format of the suffix, as far as the medium writes it. A format
        that holds no signature gets it in a second file, with .c2pa after the name. What cannot be signed is written
        without, and `note` gets the reason; None: a Python warning. `options` change the copy: of an image size,
        colours and transparent.
        """
        target = self._name_copy(path)
        save_options = check_save_options(self.medium, options)
        kind = find_kind(self.record)
        if kind is not None and kind.save is not None and kind.can_save(target):
            return kind.save(self, target, note)
        self.verify()
        self._write_copy(target, lambda: self.value, self.path.read_bytes(), note, save_options)
        return target

    def _name_copy(self, path: str | Path) -> Path:
        return expand_home(path) / self.path.name if is_folder_path(path) else expand_home(path)

    def _write_copy(
        self, target: Path, get_value: Callable[[], Any], data: bytes, note: Note | None, options: Any = None
    ) -> None:
        """Write the output as it leaves, from the bytes of its own format, or from its value for another one."""
        from genloom.media.saving import render_file
        from genloom.types import Item

        if options is not None or target.suffix.lower() not in (self.path.suffix, ""):
            target.parent.mkdir(parents=True, exist_ok=True)
            data = render_file(self.medium, Item(get_value(), str(self.path)), target.name, options)
        write_outgoing(sign_file_of(self, data, target.suffix or self.path.suffix), target, note)

    def manifest(self) -> "Manifest | None":
        """Return what the signature of the output tells whoever gets its file; None without the extra `trust`."""
        from genloom.trust import manifests, signing

        self.verify()
        signed = sign_file_of(self, self.path.read_bytes(), self.path.suffix)
        if not signed.is_signed:
            return None
        anchors = signing.read_anchors(self.workspace.folder)
        return manifests.read_bytes(signed.data, self.path.suffix, anchors, signed.sidecar)

    def describe_for_file(self) -> dict[str, Any]:
        """Return what a file of outputs says about this one: its id and model, and how it meets what was asked."""
        judged = self.record.get("judgement") or {}
        facts = {name: value for name, value in judged.items() if not isinstance(value, Mapping)}
        facts |= {name: "; ".join(value) for name, value in facts.items() if isinstance(value, list)}
        return {"name": self.id, "model": self.model, **facts}

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of outputs."""
        from genloom.store.output_files import require_file

        require_file(self.path, self.record)
        return {
            "output": self.id,
            "model": self.record.get("model"),
            "prompt": self.record.get("prompt"),
            "given": dict(self.record.get("given") or {}),
            "text": self.record.get("written") or "",
            "file": str(self.path),
            "bytes": self.path.stat().st_size,
        }

    def __str__(self) -> str:
        shown = self.show()
        if shown.mime.startswith("text/"):
            return remove_controls(shown.text) if sys.stdout.isatty() else shown.text
        if sys.stdout.isatty():
            return shown.text
        return f"{self.id} · {self.path}"  # a file or a pipe has no use for an image in terminal colours

    def __repr__(self) -> str:
        return f"<Output {self.id} of {self.model}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from genloom.media.abilities import get_ability

        bundle = build_mimebundle(shown := sign_display([self], self.show()), repr(self))
        render_sound = get_ability(self.medium, "render_sound")
        if render_sound is not None:
            with suppress(GenloomError):  # it lasts too long to be played here
                return {"text/plain": repr(self), "text/html": to_html(shown) + to_html(render_sound(self.value))}
        return bundle


class Outputs(Listing[Output]):
    """Outputs in the order they were generated; notebooks show them with their ids."""

    num_withheld: int = 0  # outputs of the same generation that are not here, because they copy training data
    selection: "SelectionReport | None" = None  # what a choice among more outputs reached; None: there was none

    @overload
    def __getitem__(self, index: SupportsIndex) -> Output: ...

    @overload
    def __getitem__(self, index: slice) -> "Outputs": ...

    def __getitem__(self, index: SupportsIndex | slice) -> "Output | Outputs":
        found = super().__getitem__(index)
        return Outputs(found) if isinstance(found, list) else found

    def sheet(self) -> "Display":
        """Return all values on one page, e.g. a contact sheet of images, with a signature if its format holds one.

        Raises
        ------
        GenloomError
            api.no_outputs: the list is empty.
        """
        return sign_display(self, self._draw_sheet())

    def _draw_sheet(self) -> "Display":
        from genloom.media.abilities import get_ability

        if not self:
            raise GenloomError("api.no_outputs")
        return get_ability(self[0].medium, "sheet")(
            [output.value for output in self], [output.prompt for output in self]
        )

    def save(self, folder: str | Path, *, note: Note | None = None, **options: Any) -> list[Path]:
        """Write the outputs into a folder, which is created if needed, as `Output.save` does; return where they are."""
        folder = expand_home(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return [output.save(folder, note=note, **options) for output in self]

    def save_collection(self, path: str | Path, *, note: Note | None = None) -> Path:
        """Write all values into one file, in a format that holds several (`can_collect`); return where it is.

        Raises
        ------
        GenloomError
            api.no_outputs: the list is empty; api.no_collection: the medium has no such format.
        """
        from genloom.media.abilities import get_ability
        from genloom.types import Item

        if not self:
            raise GenloomError("api.no_outputs")
        target = expand_home(path)
        suffix = target.suffix.lower()
        if not can_collect(self[0].medium, suffix):
            raise GenloomError("api.no_collection", suffix=suffix, medium=self[0].medium.kind)
        items = [Item(output.value, str(output.path), meta=output.describe_for_file()) for output in self]
        data = get_ability(self[0].medium, "render_collection")(items, suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_outgoing(sign_page(self, data, suffix), target, note)
        return target

    def save_sheet(self, path: str | Path, *, note: Note | None = None) -> Path:
        """Write all values on one page to a path, with its signature; return where it is.

        The suffix of the page's format is added to a path without it.

        Raises
        ------
        GenloomError
            api.no_outputs: the list is empty.
        """
        from genloom.media.abilities import guess_suffix

        sheet, path = self._draw_sheet(), expand_home(path)
        suffix = guess_suffix(sheet.mime.partition(";")[0])
        target = path if path.suffix.lower() == suffix else path.with_name(path.name + suffix)
        write_outgoing(sign_page(self, sheet.data, suffix), target, note)
        return target

    def __str__(self) -> str:
        return "\n\n".join(f"── {n} of {len(self)} · {output.id}\n{output}" for n, output in enumerate(self, start=1))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if not self:
            return {"text/plain": "no outputs"}
        sheet = self.sheet()
        if sheet.mime.startswith("image/"):
            return build_mimebundle(sheet, "\n".join(map(repr, self)))
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        cells = [
            '<figure style="display: inline-block; margin: .5em 1em .5em 0">'
            f"{to_html(sign_display([output], output.show()))}"
            f"<figcaption><code>{escape(output.id)}</code></figcaption></figure>"
            for output in self[:_MAX_SHOWN]
        ]
        rest = len(self) - _MAX_SHOWN
        return "".join(cells) + (f"<p>and {rest:,} more</p>" if rest > 0 else "")


def check_save_options(medium: Any, options: Mapping[str, Any]) -> Any:
    """Return the options of a medium that change copies of its values, None without any.

    Raises
    ------
    GenloomError
        api.no_save_options: the medium has none; core.unknown_setting, core.bad_setting_value.
    """
    from genloom.media.abilities import get_ability
    from genloom.settings import parse_settings

    if not options:
        return None
    if (options_class := get_ability(medium, "SaveOptions")) is None:
        raise GenloomError("api.no_save_options", option=next(iter(options)), medium=medium.kind)
    return parse_settings(options_class, options, "save")


def can_collect(medium: Any, suffix: str) -> bool:
    """Return whether a medium has a format of this suffix that holds several values."""
    from genloom.media.abilities import get_ability

    return suffix in get_ability(medium, "collection_suffixes")
