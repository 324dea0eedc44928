"""Licences by their SPDX identifiers, and what in a mixture of them is in conflict or unknown."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

ConflictKind = Literal["share_alike", "non_commercial", "no_derivatives", "unknown"]
_SHARE_ALIKE = re.compile(r"-SA-|-SA$|^(A|L)?GPL-|^ODbL-|^CDLA-Sharing-|^OSL-|^EUPL-|^MPL-|^GFDL-|^CECILL-|^FAL-")
_UNKNOWN = ("", "unknown", "other", "none", "noassertion", "no licence")
_WELL_KNOWN = (
    "Apache-2.0", "MIT", "ISC", "0BSD", "Unlicense", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "BSL-1.0", "CC0-1.0",
    "PDDL-1.0",
    "ODC-By-1.0", "ODbL-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "MPL-2.0", "EUPL-1.2",
    "OFL-1.1", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "LGPL-2.1-only", "LGPL-3.0-only",
    "LGPL-3.0-or-later", "AGPL-3.0-only", "AGPL-3.0-or-later", "GFDL-1.3-or-later", "Artistic-2.0", "WTFPL", "FAL-1.3",
    *(
        f"CC-BY{kind}-{version}"
        for kind in ("", "-SA", "-NC", "-ND", "-NC-SA", "-NC-ND")
        for version in ("2.0", "2.5", "3.0", "4.0")
    ),
)  # fmt: skip
_SPDX = {name.lower(): name for name in _WELL_KNOWN} | {
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "apache 2.0": "Apache-2.0",
    "cc0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
}
# The identifiers of the Hugging Face hub, which differ from those of SPDX for these; it has no others.
_HUB = {
    **{name: name.lower() for name in (
        "Apache-2.0", "MIT", "ISC", "Unlicense", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "BSL-1.0", "CC0-1.0",
        "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "MPL-2.0", "EUPL-1.2", "OFL-1.1",
        "Artistic-2.0", "WTFPL", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0",
        "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0",
        "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
    )},
    "PDDL-1.0": "pddl", "ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "GFDL-1.3-or-later": "gfdl",
    **{f"{name}-{kind}": name.lower() for name in ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0")
       for kind in ("only", "or-later")},
    "NOASSERTION": "unknown",
}  # fmt: skip
_REFERENCE_CHARS = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True)
class LicenceConflict:
    """A limit of the use of a mixture of licences, or an unknown licence in it."""

    kind: ConflictKind
    licences: tuple[str, ...]  # SPDX identifiers

    def __str__(self) -> str:
        names = ", ".join(self.licences)
        match self.kind:
            case "share_alike":
                return (
                    f"Share-alike beside other licences ({names}): what counts as an adaptation has to be shared alike."
                )
            case "non_commercial":
                return f"Non-commercial use only: {names}."
            case "no_derivatives":
                return f"No derivatives: {names}; find out whether a model or its outputs are any."
        return f"Unknown: {names}; find out whether you may use and share what was made of it."


def to_spdx(licence: str) -> str:
    """Return the SPDX identifier: of a list of well-known ones, `NOASSERTION`, or `LicenseRef-` and the name."""
    name = licence.strip()
    if name.lower() in _UNKNOWN:
        return "NOASSERTION"
    if name.startswith("LicenseRef-"):
        return name
    return _SPDX.get(name.lower()) or f"LicenseRef-{_REFERENCE_CHARS.sub('-', name).strip('-') or 'unnamed'}"


def to_hub(spdx: str) -> str:
    """Return the identifier of the Hugging Face hub for that of SPDX; "" if the hub has none."""
    return _HUB.get(spdx, "")


def find_conflicts(licences: Iterable[str]) -> list[LicenceConflict]:
    """Return what in the licences, of data or models that are combined, is in conflict, limits the use or is unknown.

    A share-alike licence is in conflict with every other licence but those that ask for nothing. This is a warning to
    look, and no legal advice.
    """
    names = sorted({to_spdx(licence) for licence in licences})
    share_alike = [name for name in names if _SHARE_ALIKE.search(name)]
    others = [name for name in names if name not in share_alike and name not in ("CC0-1.0", "PDDL-1.0", "Unlicense")]
    unknown = tuple(name for name in names if name == "NOASSERTION")
    found: list[LicenceConflict] = []
    if len(share_alike) > 1 or (share_alike and any(name not in unknown for name in others)):
        mixed = (*share_alike, *(name for name in others if name not in unknown))
        found.append(LicenceConflict("share_alike", tuple(sorted(mixed))))
    groups: list[tuple[ConflictKind, str]] = [("non_commercial", "-NC-"), ("no_derivatives", "-ND-")]
    for kind, part in groups:
        if limited := tuple(name for name in names if part in f"{name}-"):
            found.append(LicenceConflict(kind, limited))
    if unknown:
        found.append(LicenceConflict("unknown", unknown))
    return found


def describe_licence(licences: Iterable[str]) -> dict[str, Any]:
    """Return the licence as the Hugging Face hub names it."""
    names = sorted({to_spdx(name) for name in licences})
    if len(names) == 1 and (hub_name := to_hub(names[0])):
        return {"license": hub_name}
    return {"license": "other", "license_name": " AND ".join(names)} if names else {"license": "unknown"}
