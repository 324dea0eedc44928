"""Collect molecules: read them from files and tables, standardise them, and compute their properties."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.collect import licence
from genloom.collect.defaults import note_other_files
from genloom.collect.duplicates import Sketches
from genloom.collect.kept_columns import check_names, pick_columns
from genloom.collect.molecule import rows
from genloom.collect.molecule.fingerprints import compute_fingerprint, compute_jaccard, compute_signatures
from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Counters, Document, Skip
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.collect.table_files import iter_lines
from genloom.errors import GenloomError
from genloom.media import molecule as medium
from genloom.media.molecule.files import Entry, read_entries, read_inchi
from genloom.media.molecule.molecule import Molecule, Standard, compute_inchi_key, parse_smiles, to_mol
from genloom.media.molecule.names import find_name
from genloom.media.molecule.properties import compute_mol_properties, find_property
from genloom.media.text import encoding
from genloom.settings import option
from genloom.text_format import format_count

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "molecule"
accepted_files = "smi, sdf, mol or inchi files, or csv and parquet tables with a column of SMILES"
drop_reasons = {
    "exact copy": "the same as another molecule, by InChIKey",
    "near-duplicate": "nearly the same as another molecule, by fingerprint",
    "unread": "that cannot be read, beyond those listed",
}
DEFAULT_DESCRIPTORS = "logp,qed,mw,tpsa,sa,donors,acceptors,rings"
NO_DESCRIPTORS = "none"
MAX_LISTED = 20  # molecules of a batch that cannot be read and are listed with their reason
MIN_STREAMED_BYTES = 1 << 20  # of a file that is read in portions
OWN_COLUMNS = ("content", "inchi_key")
CHARGE = re.compile(r"[+-]\d?\]")


@dataclass(frozen=True)
class Config(Options):
    """Options for collecting molecules."""

    near_duplicates: float = option(
        0.0,
        "Similarity from which a document is a duplicate; 0 removes exact copies only.",
        is_valid=lambda value: value == 0 or 0.6 <= value <= 1,
        requirement="0 (off) or from 0.6 to 1",
    )
    smiles: str = option("", "Column of the SMILES or InChI in a table. [default: by its name]")
    property: tuple[str, ...] = option((), "Column or SDF field of measured numbers to keep: pIC50. Repeatable.")
    descriptors: str = option(DEFAULT_DESCRIPTORS, "Properties to compute and keep as columns, or none.")
    keep_charges: bool = option(False, "Whether charges stay that protons could remove.")
    merge_tautomers: bool = option(False, "Whether the tautomers of a molecule count as one; slow.")


def list_descriptors(options: Config) -> tuple[str, ...]:
    """Return the properties to compute, by their names; GenloomError for an unknown one."""
    names = [] if options.descriptors.strip().lower() == NO_DESCRIPTORS else options.descriptors.split(",")
    return tuple(dict.fromkeys(find_property(name).name for name in names if name.strip()))


@dataclass(frozen=True)
class RawMolecule:
    """A molecule as it stands in a file, and what the file says about it."""

    smiles: str
    source: str
    name: str = ""
    licence: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # of the columns to keep
    is_whole_file: bool = False

    @property
    def size(self) -> int:
        return len(self.smiles)


def get_suffix(path: Path) -> str:
    """Return the suffix, of a .gz the suffix before it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count the files of molecules, and twice the tables, which hold many and could also be read as text."""
    return sum(get_suffix(file.path) in medium.suffixes or 2 * is_table(file) for file in files)


def is_table(file: SourceFile) -> bool:
    return get_suffix(file.path) in rows.TABLE_SUFFIXES and rows.has_structures(file.path)


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return the files of molecules and the tables, and a note on the others."""
    selected: list[SourceFile] = []
    counts: Counter[str] = Counter()
    for file in files:
        suffix = get_suffix(file.path)
        is_large = file.size >= MIN_STREAMED_BYTES or file.is_gzipped
        if suffix in medium.suffixes:
            selected.append(replace(file, format="molecules", is_streamed=is_large))
        elif suffix in rows.TABLE_SUFFIXES and not (suffix == ".parquet" and file.is_gzipped):
            selected.append(replace(file, format="table", is_streamed=is_large or suffix == ".parquet"))
        else:
            counts[escape_name(suffix) or "no suffix"] += 1
    return selected, note_other_files(counts)


def resolve(options: Config, source_files: Sequence[SourceFile]) -> Config:
    """Return the options as they are, after a check of the names of columns."""
    descriptors = list_descriptors(options)
    check_names(options.property, (*OWN_COLUMNS, *descriptors, *options.keep))
    return options


def read(file: SourceFile, options: Config) -> Iterator[RawMolecule | Note]:
    """Yield the molecules of a file; bad input yields a Note and never raises."""
    try:
        if get_suffix(file.path) in rows.TABLE_SUFFIXES:
            yield from read_table(file, options)
        else:
            yield from read_structures(file, options)
    except OSError as error:
        yield Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror or error))
    except ValueError as error:
        yield Note.from_error(file.name, error)


def read_table(file: SourceFile, options: Config) -> Iterator[RawMolecule | Note]:
    """Yield the molecules in the rows of a table."""
    folder_licence = licence.find_folder_licence(file.path.parent, file.root)
    num_unread, problems, unread_values = 0, dict[str, GenloomError](), Counter[str]()
    first_unread = dict[str, GenloomError]()
    for row in rows.read_rows(file.path, options.smiles, options.property, list_descriptors(options), options.keep):
        problem, smiles = row.problem, row.structure
        if problem is None and smiles.startswith("InChI="):
            entry = read_inchi(row.number, smiles)
            problem, smiles = entry.problem, entry.smiles
        if problem is not None:
            num_unread += 1
            problems.setdefault(problem.code, GenloomError("molecule.numbered", number=row.number, reason=problem))
            continue
        for error in row.unread_values:
            column = error.fields["column"]
            unread_values[column] += 1
            first_unread.setdefault(column, GenloomError("molecule.numbered", number=row.number, reason=error))
        source = row.source or f"{file.name}:{row.number}"
        yield RawMolecule(smiles, source, row.name, row.licence or folder_licence, row.numbers, row.kept_values)
    if problems:
        reasons = "; ".join(map(str, problems.values()))
        error = GenloomError("collect.rows_skipped", rows=format_count(num_unread, "row"), reasons=reasons)
        yield Note.from_error(file.name, error, is_skipped=False)
    for column, count in unread_values.items():
        error = GenloomError("molecule.values_unread", count=count, column=column, first=first_unread[column])
        yield Note.from_error(file.name, error, is_skipped=False)


def read_structures(file: SourceFile, options: Config) -> Iterator[RawMolecule | Note]:
    """Yield the molecules of a file of SMILES, InChI or blocks; fields of .sdf are columns."""
    suffix = get_suffix(file.path)
    folder_licence = licence.find_folder_licence(file.path.parent, file.root)
    lines = (line if line is not None else "" for line in iter_lines(encoding.open_text(file.path)))
    has_molecules = False
    for entry in read_entries(lines, suffix):
        source = f"{file.name}:{entry.number}"
        if entry.problem is not None:
            yield Note.from_error(source, entry.problem, is_skipped=False)
            continue
        has_molecules = True
        try:
            yield build_raw(entry, source, folder_licence, options)
        except GenloomError as error:
            yield Note.from_error(source, error, is_skipped=False)
    if not has_molecules:
        yield Note.from_error(file.name, GenloomError("molecule.no_molecules"))


def build_raw(entry: Entry, source: str, folder_licence: str, options: Config) -> RawMolecule:
    """Return a molecule of a file with its fields."""
    numbers = {name: rows.to_number(name, entry.values.get(name)) for name in options.property}
    lower = {rows.normalise_name(name): value for name, value in entry.values.items()}
    statement = next((lower[key] for key in licence.LICENCE_COLUMNS if isinstance(lower.get(key), str)), "")
    found = licence.identify_licence(statement) if statement.strip() else folder_licence
    return RawMolecule(entry.smiles, source, entry.name, found, numbers, pick_columns(entry.values, options.keep))


def build_document(raw: RawMolecule, options: Config, counters: Counters) -> tuple[Document, np.ndarray | None]:
    """Return the standardised molecule with its properties, and its fingerprint for near-duplicates."""
    standard = Standard(True, not options.keep_charges, options.merge_tautomers)
    try:
        value = parse_smiles(raw.smiles, standard)
    except GenloomError:
        counters["unread"]["molecules"] += 1
        if counters["unread"]["molecules"] > MAX_LISTED:
            raise Skip("unread") from None
        raise
    count_changes(raw.smiles, value, counters)
    mol = to_mol(value)
    key = compute_inchi_key(value) or value.smiles
    descriptors = list_descriptors(options)
    missing = [name for name in descriptors if name not in raw.numbers]
    numbers = {**compute_mol_properties(mol, missing), **raw.numbers}
    content = medium.encode(value)
    columns: dict[str, Any] = {"content": content, "inchi_key": key}
    columns |= {name: numbers.get(name) for name in (*descriptors, *options.property)}
    document = Document(
        raw.name or find_name(value),
        hashlib.sha256(key.encode()).digest(),
        raw.source,
        options.licence or raw.licence or licence.UNKNOWN_LICENCE,
        len(content),
        columns,
        review_reasons=tuple(medium.check(medium.Item(value))),
        kept_values=raw.values,
    )
    return document, compute_fingerprint(mol) if options.near_duplicates else None


def count_changes(text: str, value: Molecule, counters: Counters) -> None:
    """Count the molecules that lost their salts or charges, for the report."""
    counters["changed"]["reduced to the largest part"] += "." in text
    had_charges, has_charges = (len(CHARGE.findall(each)) for each in (text, value.smiles))
    counters["changed"]["charges removed"] += had_charges > has_charges and "." not in text


def describe_changes(report: Report) -> list[str]:
    """Return a line on what standardisation changed."""
    changes = [f"{count:,} {name}" for name, count in report.counters["changed"].items() if count]
    return [f"changed: {', '.join(changes)}"] if changes else []


def compute_sketches(sketch_inputs: list[np.ndarray | None], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return the sketches: the InChIKey of each molecule, and a signature of its fingerprint for near ones."""
    return compute_signatures(sketch_inputs if should_find_near else [None] * len(digests), digests)


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return the estimated Tanimoto similarity."""
    return compute_jaccard(signature_P, signatures_NP)


def build_columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """Return the columns of the molecules and of their numbers, of which any may be missing."""
    import pyarrow as pa

    names = dict.fromkeys(name for document in documents for name in document.columns if name not in OWN_COLUMNS)
    columns = {
        "content": pa.array([document.columns["content"] for document in documents], pa.binary()),
        "inchi_key": pa.array([document.columns["inchi_key"] for document in documents], pa.string()),
    }
    return columns | {
        name: pa.array([document.columns.get(name) for document in documents], pa.float64()) for name in names
    }
