"""A data set as Croissant 1.1, JSON-LD that catalogues and loaders of data sets read."""

from collections.abc import Iterator
from typing import Any

from genloom.store import mirror
from genloom.store.dataset import Dataset
from genloom.trust.cards.card import Card

VERSION = "http://mlcommons.org/croissant/1.1"
_FORMAT = "application/x-parquet"
_PLAIN_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _PLAIN_TERMS},
}
_PARTS, _DOCUMENTS = "parts", "documents"
_SPDX_URL = "https://spdx.org/licenses/"


def to_croissant(dataset: Dataset, card: Card) -> dict[str, Any]:
    """Return a data set as Croissant: its parts with digests, and the columns that are texts or numbers.

    `card` is that of the data set. URLs are relative to the folder of the data set.
    """
    parts = sorted(name for name in dataset.manifest["files"] if name.startswith("part-") and name.endswith(".parquet"))
    licences = [
        _SPDX_URL + name if not name.startswith(("LicenseRef-", "NOASSERTION")) else name for name in card.facts["spdx"]
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": dataset.name,
        "description": " ".join([card.summary, *(conflict["note"] for conflict in card.facts["conflicts"])]),
        "url": f"urn:sha256:{dataset.digest}",
        "license": licences or ["NOASSERTION"],
        "version": f"{max(dataset.sequence, 1)}.0.0",
        "datePublished": dataset.created,
        "creator": {"@type": "sc:Organization", "name": "Genloom", "url": "urn:genloom"},
        "citeAs": f"{dataset.name}, SHA-256 {dataset.digest}",
        "distribution": [
            *(_describe_part(dataset, name) for name in parts),
            {
                "@type": "cr:FileSet",
                "@id": _PARTS,
                "name": _PARTS,
                "encodingFormat": _FORMAT,
                "includes": "part-*.parquet",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": _DOCUMENTS,
                "name": _DOCUMENTS,
                "key": {"@id": f"{_DOCUMENTS}/id"},
                "field": list(_list_fields(dataset, parts)),
            }
        ],
    }


def _describe_part(dataset: Dataset, name: str) -> dict[str, Any]:
    entry = dataset.manifest["files"][name]
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": _FORMAT,
        "sha256": entry["sha256"],
    }


def _list_fields(dataset: Dataset, parts: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the columns that are texts, numbers or truth values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not parts:
        return
    kinds = [
        (pa.types.is_string, "sc:Text"),
        (pa.types.is_large_string, "sc:Text"),
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
    ]
    mirror.fetch_files(dataset.folder)
    for column in pq.read_schema(dataset.folder / parts[0]):
        data_type = next((name for is_kind, name in kinds if is_kind(column.type)), "")
        if data_type:
            yield {
                "@type": "cr:Field",
                "@id": f"{_DOCUMENTS}/{column.name}",
                "name": column.name,
                "dataType": data_type,
                "source": {"fileSet": {"@id": _PARTS}, "extract": {"column": column.name}},
            }
