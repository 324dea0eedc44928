"""Find the licence of a file: in its header, in its metadata, or in a LICENSE file beside or above it."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.collect.front_matter import parse_front_matter
from genloom.collect.slug import escape_name, replace_surrogates

UNKNOWN_LICENCE = "unknown"
RESERVED = "All rights reserved"
LICENCE_COLUMNS = ("licence", "license", "licenses", "rights")
# Of an object that describes a licence, as GitHub, npm, schema.org and Wikimedia write it; the first that is there
LICENCE_KEYS = ("spdx_id", "spdx", "identifier", "name", "title", "type", "short_name", "key", "id", "@id", "url")
HEADER_CHARS = 4096  # searched for an SPDX identifier and for front matter
SPDX_PATTERN = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]{2,100}?)[ \t]*(?:\*/|-->|$)", re.MULTILINE)
LICENCE_FILE_PATTERN = re.compile(r"^(un)?(licen[cs]e|copying)([.-].*)?$", re.IGNORECASE)
CC_URL_PATTERN = re.compile(
    r"creativecommons\.org/(licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark)/1\.0)", re.IGNORECASE
)
# The first phrase that occurs decides, so that more specific phrases come first.
LICENCE_PHRASES = [
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0"),
    ("GNU LESSER GENERAL PUBLIC LICENSE Version 3", "LGPL-3.0"),
    ("GNU LESSER GENERAL PUBLIC LICENSE Version 2.1", "LGPL-2.1"),
    ("GNU GENERAL PUBLIC LICENSE Version 3", "GPL-3.0"),
    ("GNU GENERAL PUBLIC LICENSE Version 2", "GPL-2.0"),
    ("Mozilla Public License Version 2.0", "MPL-2.0"),
    ("Mozilla Public License, v. 2.0", "MPL-2.0"),
    ("Apache License Version 2.0", "Apache-2.0"),
    ("Apache License, Version 2.0", "Apache-2.0"),
    ("PYTHON SOFTWARE FOUNDATION LICENSE", "PSF-2.0"),
    ("This is free and unencumbered software released into the public domain", "Unlicense"),
    ("Boost Software License", "BSL-1.0"),
    ("Permission is hereby granted, free of charge, to any person obtaining a copy of this software and", "MIT"),
    ("Permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"),
    ("Neither the name of", "BSD-3-Clause"),
    ("Redistributions of source code must retain", "BSD-2-Clause"),
    ("CC0 1.0 Universal", "CC0-1.0"),
    ("Attribution-NonCommercial-ShareAlike 4.0", "CC-BY-NC-SA-4.0"),
    ("Attribution-NonCommercial-NoDerivatives 4.0", "CC-BY-NC-ND-4.0"),
    ("Attribution-NonCommercial 4.0", "CC-BY-NC-4.0"),
    ("Attribution-NoDerivatives 4.0", "CC-BY-ND-4.0"),
    ("Attribution-ShareAlike 4.0", "CC-BY-SA-4.0"),
    ("Attribution 4.0 International", "CC-BY-4.0"),
    ("public domain", "public domain"),
]


def is_licence_file(name: str) -> bool:
    """Tell whether a file is a LICENSE, LICENCE.md, COPYING, UNLICENSE or the like."""
    return LICENCE_FILE_PATTERN.match(name) is not None and Path(name).suffix.lower() in (
        "",
        ".txt",
        ".md",
        ".rst",
        ".html",
    )


def find_spdx(text: str) -> str:
    """Return the SPDX licence identifier in the first lines of a file, or ""."""
    match = SPDX_PATTERN.search(text[:HEADER_CHARS])
    return match[1] if match else ""


def find_statement(text: str) -> str:
    """Return what a file says of its licence in its first lines, by an SPDX identifier or in front matter, or ""."""
    return find_spdx(text) or find_row_licence(parse_front_matter(text[:HEADER_CHARS]))


def find_reserved_rights(text: str) -> str:
    """Return the licence of a file that names none in its first lines: "All rights reserved" if it says so."""
    return RESERVED if RESERVED.lower() in " ".join(text[:HEADER_CHARS].lower().split()) else UNKNOWN_LICENCE


def find_row_licence(record: Mapping[str, Any]) -> str:
    """Return the licence of a row of a table, or ""; of several, all of which hold, an expression of SPDX."""
    for name, value in record.items():
        if str(name).strip().lower() in LICENCE_COLUMNS:
            names = value if isinstance(value, list) else [value]
            if found := list(filter(None, map(_name_licence, names))):
                return " AND ".join(found)[:80]
    return ""


def _name_licence(value: Any) -> str:
    """Return the name of a licence that a row gives as a text, or as an object with its identifier, name or address."""
    if isinstance(value, Mapping):
        texts = {str(key).strip().lower(): text.strip() for key, text in value.items() if isinstance(text, str)}
        found = (texts[key] for key in LICENCE_KEYS if texts.get(key) and texts[key].upper() != "NOASSERTION")
        return identify_licence(next(found, ""))
    return value.strip() if isinstance(value, str) else ""


def identify_licence(statement: str) -> str:
    """Return a short name for a licence statement: its SPDX identifier if it is known, else its beginning."""
    if match := CC_URL_PATTERN.search(statement):
        if match[2]:
            return f"CC-{match[2].upper()}-{match[3]}"
        return "CC0-1.0" if match[4].lower() == "zero" else "public domain"
    flat_text = " ".join(replace_surrogates(statement).split())
    for phrase, name in LICENCE_PHRASES:
        if phrase.lower() in flat_text.lower():
            return name
    return flat_text[:80]


@functools.lru_cache(4096)
def find_folder_licence(folder: Path, root: Path) -> str:
    """Return the licence in the LICENSE file of the folder, or of the nearest one above it up to `root`, or ""."""
    try:
        files = sorted(entry for entry in folder.iterdir() if is_licence_file(entry.name) and entry.is_file())
    except OSError:
        files = []
    for file in files:
        with file.open("rb") as stream:
            text = stream.read(64 << 10).decode("utf-8", "replace")
        name = find_spdx(text) or identify_licence(text)
        return name if len(name) < 40 else f"see {escape_name(file.name)}"
    return "" if folder == root or root not in folder.parents else find_folder_licence(folder.parent, root)
