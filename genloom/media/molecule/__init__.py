"""The medium molecule: small organic molecules from SMILES, SDF, MOL and InChI files, saved as these and drawn."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from genloom.errors import GenloomError
from genloom.media.molecule import syntax
from genloom.media.molecule.facts import NOTICE
from genloom.media.molecule.fingerprints import find_family as find_family
from genloom.media.molecule.fingerprints import identify_value as identify_value
from genloom.media.molecule.molecule import MAX_CHARS, Molecule
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file
from genloom.types import DefaultRecipe, Display, Item

kind: str = "molecule"
plural: str = "molecules"
unit: str = "heavy atom"
max_tokens: int = 96

suffixes: tuple[str, ...] = (".smi", ".smiles", ".sdf", ".mol", ".inchi")
save_suffixes = (".smi", ".sdf", ".csv", ".mol", ".inchi", ".svg", ".png")
collection_suffixes: tuple[str, ...] = (".smi", ".sdf", ".csv", ".inchi")  # of the formats that hold several molecules
notice: str = NOTICE
MAX_BYTES = 32 << 20
MAX_MOLECULES = 10_000  # of a file that are opened together

default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("autoregressive",), "transformer", ("smiles",), batch_size=64, context_length=128),
)


def open(path: Path) -> Item:
    """Return the first molecule in a file as an Item; `meta` has its `name` and the fields of an SDF file.

    A SMILES text is kept as it is written, like what a model writes; whoever starts from it checks it.
    """
    from genloom.media.molecule.files import read_entries

    path = Path(path)
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise GenloomError("molecule.file_too_large", limit=MAX_BYTES >> 20)
        if suffix not in suffixes:
            raise GenloomError("molecule.not_a_molecule", suffixes=" ".join(suffixes))
        if not data.strip() and suffix in (".smi", ".smiles"):
            return Item(Molecule(""), str(path))
        lines = iter(data.decode("utf-8").splitlines())
        entry = next(read_entries(lines, suffix), None)
        if entry is None:
            raise GenloomError("molecule.no_molecules")
        if entry.problem is not None:
            raise entry.problem
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except UnicodeDecodeError as error:
        raise GenloomError("media.unreadable", path=path, reason=GenloomError("molecule.not_text")) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    return Item(Molecule(entry.smiles), str(path), meta={"name": entry.name, **entry.values})


def open_collection(path: Path) -> list[Item]:
    """Return the molecules of a file that holds several, without those that cannot be read."""
    from genloom.media.molecule.files import read_entries

    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise GenloomError("molecule.file_too_large", limit=MAX_BYTES >> 20)
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except UnicodeDecodeError as error:
        raise GenloomError("media.unreadable", path=path, reason=GenloomError("molecule.not_text")) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    entries = islice(read_entries(iter(lines), Path(path).suffix.lower()), MAX_MOLECULES)
    return [Item(Molecule(each.smiles), str(path)) for each in entries if each.problem is None and each.smiles]


def list_writings(value: Molecule) -> list[Molecule]:
    """Return the molecule as it is written, and in its canonical form."""
    from genloom.media.molecule.molecule import canonicalise_molecule

    return list(dict.fromkeys([value, canonicalise_molecule(value)]))


def save(item: Item, path: Path) -> None:
    """Write the molecule in the format of the suffix, a 3-D conformer in .sdf files, or a drawing of it."""
    from genloom.media.molecule.writing import render

    path = Path(path)
    require_save_suffix(path)
    data = render(item, path.suffix.lower())
    write_file(path, lambda file: file.write(data))


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of no format that molecules are saved in."""
    if (suffix := path.suffix.lower()) not in (*save_suffixes, ".smiles"):
        raise GenloomError("molecule.bad_save_suffix", suffix=suffix or "such")


def render_collection(items: Sequence[Item], suffix: str) -> bytes:
    """Return one file with several molecules; the columns of a table and the fields of .sdf hold their `meta`."""
    from genloom.media.molecule.writing import render_several

    return render_several(items, suffix)


def preview(item: Item) -> str:
    """Return the molecule for a terminal: its SMILES and its main properties."""
    value: Molecule = item.value
    from genloom.media.molecule.facts import format_facts

    return "\n".join(filter(None, (value.smiles, format_facts(value))))


def check(item: Item) -> list[str]:
    """List the problems of a molecule; an empty list if there are none."""
    from genloom.media.molecule.facts import list_problems

    return list_problems(item.value)


def screen_value(value: Molecule) -> str:
    """Return why a molecule is not handed out: it is none, or the screen withholds it; "" if it may be."""
    from genloom.media.molecule.facts import find_withholding_reason

    return find_withholding_reason(value)


def count_units(value: Molecule) -> int:
    """Return the number of heavy atoms."""
    return syntax.count_heavy_atoms(value.smiles)


def describe(value: Molecule) -> Mapping[str, float]:
    """Return the main properties; of what is no molecule, its heavy atoms."""
    from genloom.media.molecule.facts import compute_facts

    return {"heavy atoms": float(count_units(value)), **compute_facts(value)}


def parse(text: str) -> Molecule:
    """Return the molecule that a person wrote, as SMILES or as a common name; GenloomError for another text."""
    from genloom.media.molecule.names import find_molecule

    return find_molecule(text)


def show(value: Molecule) -> Display:
    """Return a drawing of the molecule, and its SMILES and properties."""
    from genloom.media.molecule import drawing

    return Display("image/png", drawing.draw_png([value]), preview(Item(value)))


def sheet(values: Sequence[Molecule], captions: Sequence[str] = ()) -> Display:
    """Return drawings in rows, each with its caption and main properties."""
    from genloom.media.molecule import drawing

    captions = captions or [""] * len(values)
    text = "\n\n".join(
        f"{caption}\n{preview(Item(value))}".strip() for value, caption in zip(values, captions, strict=True)
    )
    return Display("image/png", drawing.draw_png(values, captions), text)


def encode(value: Molecule) -> bytes:
    """Return the SMILES text as it is."""
    return value.smiles.encode("ascii", "replace")


def decode(data: bytes) -> Molecule:
    """Return the molecule of a SMILES text, as it is written; ValueError if it is no text of this kind."""
    if len(data) > MAX_CHARS or any(byte <= 32 or byte >= 127 for byte in data):
        raise GenloomError("molecule.damaged_text")
    return Molecule(data.decode("ascii"))
