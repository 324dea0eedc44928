"""Molecules in tables: the column of the structures, the name, the licence and the numbers of a row."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from genloom.collect import licence, table_files
from genloom.collect.kept_columns import have_decimal_commas, is_missing_mark, pick_columns
from genloom.collect.parquet import list_text_columns, open_parquet
from genloom.errors import GenloomError
from genloom.media.molecule.syntax import find_fault
from genloom.media.text import encoding

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
STRUCTURE_NAMES = (
    *("smiles", "canonical_smiles", "isomeric_smiles", "smi", "smiles_string", "mol_smiles", "structure"),
    *("inchi", "standard_inchi", "molecule", "mol", "compound", "ligand"),
)
NAME_COLUMNS = ("name", "title", "compound_name", "molecule_name", "drug_name", "compound", "compound_id", "id")
SNIFF_ROWS = 64
HEAD_BYTES = 1 << 16  # of a table whose columns are looked at
BATCH_ROWS = 1024


@dataclass(frozen=True)
class Row:
    """A molecule of a table as it is written there, or the reason why a row cannot be read."""

    number: int
    structure: str = ""
    name: str = ""
    licence: str = ""
    source: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)  # properties by name
    kept_values: Mapping[str, Any] = field(default_factory=dict)
    problem: GenloomError | None = None
    unread_values: tuple[GenloomError, ...] = ()  # of properties that are no numbers, which are left empty


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read."""

    structure: str
    properties: tuple[str, ...] = ()  # measured numbers
    descriptors: tuple[str, ...] = ()  # computed properties that the table may have already
    keep: tuple[str, ...] = ()
    decimal_commas: frozenset[str] = frozenset()  # the columns whose numbers have them


def normalise_name(name: str) -> str:
    """Return the name of a column as it is compared."""
    return re.sub(r"[\s.-]+", "_", name.strip().strip("\ufeff").lower())


def is_structure(text: Any) -> bool:
    """Return whether a value looks like SMILES or an InChI."""
    if not isinstance(text, str) or not text.strip() or len(text) > 10_000:
        return False
    first = text.split()[0]
    return first.startswith("InChI=") or find_fault(first) is None


def find_structure_column(names: Sequence[str], head: Sequence[Mapping[str, Any]]) -> str:
    """Return the column that is named and filled like one of structures; "" without one."""
    by_name = {normalise_name(name): name for name in reversed(names)}
    candidates = [by_name[name] for name in STRUCTURE_NAMES if name in by_name]
    candidates += [name for name in names if "smiles" in normalise_name(name) and name not in candidates]
    for name in candidates:
        values = [row.get(name) for row in head if row.get(name)]
        if values and sum(map(is_structure, values)) * 2 > len(values):
            return name
    return ""


def has_structures(path: Path) -> bool:
    """Return whether a table has a column of structures; False if it cannot be read."""
    try:
        names, head = read_head(path)
        return bool(find_structure_column(names, head))
    except (ValueError, OSError):
        return False


def read_head(path: Path) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Return the names of the columns and the first rows of a table."""
    if path.suffix.lower() == ".parquet":
        with open_parquet(path) as file:
            names = list_text_columns(file.schema_arrow)
            if not any("smi" in normalise_name(name) or normalise_name(name) in STRUCTURE_NAMES for name in names):
                return [], []
            batch = next(file.iter_batches(SNIFF_ROWS, columns=names), None)
            return names, batch.to_pylist() if batch is not None else []
    records = (record for _, record in islice(read_records(path), SNIFF_ROWS) if isinstance(record, Mapping))
    head = list(records)
    return ([*head[0]] if head else []), head


def read_records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number and the record of each row of a text table; an error in place of a broken one."""
    stream = encoding.open_text(path)
    yield from table_files.read_csv(stream, is_tab_separated=".tsv" in path.name.lower())


def read_rows(
    path: Path, structure: str, properties: Sequence[str], descriptors: Sequence[str], keep: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of a table; GenloomError if it lacks a column that was named, or has none of structures."""
    if path.suffix.lower() == ".parquet":
        yield from read_parquet_rows(path, structure, properties, descriptors, keep)
        return
    records = read_records(path)
    head = list(islice(records, SNIFF_ROWS))
    valid = [record for _, record in head if isinstance(record, Mapping)]
    names = [*valid[0]] if valid else []
    columns = choose_columns(names, valid, structure, properties, descriptors, keep)
    for number, record in chain(head, records):
        yield parse_row(number, record, columns)


def read_parquet_rows(
    path: Path, structure: str, properties: Sequence[str], descriptors: Sequence[str], keep: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of a Parquet file, of which only the columns that are needed are read."""
    with open_parquet(path, 1 << 20) as file:
        names = list(file.schema_arrow.names)
        texts = list_text_columns(file.schema_arrow)
        batch = next(file.iter_batches(SNIFF_ROWS, columns=texts), None)
        columns = choose_columns(
            names, batch.to_pylist() if batch is not None else [], structure, properties, descriptors, keep
        )
        used = {columns.structure, *columns.properties, *columns.descriptors, *columns.keep}
        used |= {name for name in texts if normalise_name(name) in (*NAME_COLUMNS, *licence.LICENCE_COLUMNS, "source")}
        number = 0
        for each in file.iter_batches(BATCH_ROWS, columns=[name for name in names if name in used]):
            for record in each.to_pylist():
                number += 1
                yield parse_row(number, record, columns)


def choose_columns(
    names: Sequence[str],
    head: Sequence[Mapping[str, Any]],
    structure: str,
    properties: Sequence[str],
    descriptors: Sequence[str],
    keep: Sequence[str],
) -> Columns:
    """Return the columns to read; GenloomError for one that is missing."""
    shown = ", ".join(names[:30]) or "none"
    for name in filter(None, (structure, *properties)):
        if name not in names:
            raise GenloomError("collect.no_such_column", column=name, columns=shown)
    found = structure or find_structure_column(names, head)
    if not found:
        raise GenloomError("molecule.no_structure_column", columns=shown)
    present = {normalise_name(name): name for name in names}
    own = tuple(present[name] for name in descriptors if name in present and present[name] not in properties)
    commas = {name for name in (*properties, *own) if have_decimal_commas(record.get(name) for record in head)}
    return Columns(found, tuple(properties), own, tuple(name for name in keep if name in names), frozenset(commas))


def parse_row(number: int, record: Any, columns: Columns) -> Row:
    """Return the molecule of a record."""
    if isinstance(record, GenloomError):
        return Row(number, problem=record)
    try:
        kept_values = pick_columns(record, columns.keep)
    except GenloomError as error:
        return Row(number, problem=error)
    numbers, unread_values = dict[str, float | None](), list[GenloomError]()
    for name in (*columns.properties, *columns.descriptors):
        key = name if name in columns.properties else normalise_name(name)
        try:
            numbers[key] = to_number(name, record.get(name), has_decimal_comma=name in columns.decimal_commas)
        except GenloomError as error:
            unread_values.append(error)
            if name in columns.properties:  # a descriptor is computed
                numbers[key] = None
    lower = {normalise_name(str(name)): value for name, value in record.items() if name != columns.structure}
    structure = record.get(columns.structure)
    text = str(structure).strip() if structure is not None else ""
    if not text:
        return Row(number, problem=GenloomError("molecule.no_structure", column=columns.structure))
    source = lower.get("source")
    name = next((str(lower[key]).strip() for key in NAME_COLUMNS if isinstance(lower.get(key), str)), "")
    statement = next((lower[key] for key in licence.LICENCE_COLUMNS if isinstance(lower.get(key), str)), "")
    known = licence.identify_licence(statement) if statement.strip() else ""
    source = source if isinstance(source, str) else ""
    unread = tuple(unread_values)
    return Row(number, text, name[:200], known, source, numbers, kept_values, unread_values=unread)


def to_number(name: str, value: Any, *, has_decimal_comma: bool = False) -> float | None:
    """Return a measured number; None for a missing one; GenloomError for a text that is none."""
    if value is None or (isinstance(value, str) and (not value.strip() or is_missing_mark(value))):
        return None
    if has_decimal_comma and isinstance(value, str):
        value = value.replace(",", ".")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise GenloomError("molecule.property_not_number", column=name, value=str(value)[:40]) from None
    return number if abs(number) < float("inf") else None
