"""Fetches the pinned icon packages from npm and reads their icons with labels, tags, categories and licences."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MEMBERS = 20_000  # a package has no more files
BYTES = 64 << 20  # and none of those read is larger


@dataclass(frozen=True)
class Package:
    """A package of npm at one version, with the SHA-256 of its tarball."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The name that `npm pack` gives its tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


SETS = {
    "fluent-emoji-flat": Package(
        "@iconify-json/fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"
    ),
    "noto": Package("@iconify-json/noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "twemoji": Package(
        "@iconify-json/twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
    ),
    "flat-color-icons": Package(
        "@iconify-json/flat-color-icons", "1.2.3", "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786"
    ),
    "icon-park": Package(
        "@iconify-json/icon-park", "1.2.4", "c1a25212a31602aca93c3fa6f6b3288e89b9d7811afc132dfd78506e9d586b6f"
    ),
}
WORDS = Package("emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a")


@dataclass(frozen=True)
class Icon:
    """A drawing: the set and name it goes by there, its SVG text, what words say of it, and whose it is.

    `licence` is an SPDX name; `credit` names the authors and where they publish.
    """

    set: str
    name: str
    svg: str
    label: str
    tags: tuple[str, ...]
    category: str
    licence: str
    credit: str


def fetch(package: Package, folder: Path) -> Path:
    """The tarball of `package` in `folder`, fetched by `npm pack` unless it lies there, its digest checked."""
    path = folder / package.file
    if not path.exists():
        if (npm := shutil.which("npm")) is None:
            raise ValueError(
                f"npm, which fetches {package.name}, is missing: install Node.js, or put {package.file} in {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        call = [npm, "pack", f"{package.name}@{package.version}", "--pack-destination", str(folder), "--silent"]
        done = subprocess.run(call, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0 or not path.exists():
            said = (done.stderr or done.stdout).strip()[-300:]
            raise ValueError(f"npm could not fetch {package.name}@{package.version}, try again later: {said}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise ValueError(
            f"{path} is not the {package.name} {package.version} that this recipe was written for "
            f"(its SHA-256 is {digest}): delete it and run again"
        )
    return path


def members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The named files of a tarball, read within bounds; nothing is written to the disk."""
    wanted, found = set(names), {}
    with tarfile.open(path, "r:gz") as tar:
        for count, member in enumerate(tar):
            if count >= MEMBERS:
                raise ValueError(f"{path} has more than {MEMBERS:,} files, which no icon package has: fetch it anew")
            if member.name not in wanted or not member.isfile():
                continue
            if member.size > BYTES:
                raise ValueError(f"{member.name} in {path} is larger than {BYTES >> 20} MiB: fetch the package anew")
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read(BYTES)
    if missing := sorted(wanted - found.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}: delete it and run again")
    return found


def icons(name: str, tarball: Path, words: Path) -> Iterator[Icon]:
    """The icons of the set `name` that a caption can say: no skin tones, flags, signs, letters or clock faces."""
    wanted = ("icons", "info", "metadata", "chars")
    read = members(tarball, [f"package/{each}.json" for each in wanted])
    drawn, info, metadata, chars = (json.loads(read[f"package/{each}.json"]) for each in wanted)
    known = {_code(each["hexcode"]): each for each in emojis(words)}
    said = {icon: known[_code(code)] for code, icon in chars.items() if _code(code) in known}
    category = {icon: group for group, members in metadata.get("categories", {}).items() for icon in members}
    author, licence = info["author"], info["license"]["spdx"]
    credit = f"{info['name']} by {author['name']}, {author['url']}"
    for icon, body in drawn["icons"].items():
        group = category.get(icon, "")
        if body.get("hidden") or not _sayable(icon, group, has_groups=bool(category)):
            continue
        entry = said.get(icon, {})
        label = _plain(entry.get("label", icon.replace("-", " ")))
        yield Icon(name, icon, _svg(drawn, body), label, tuple(entry.get("tags", ())), group, licence, credit)


def emojis(tarball: Path) -> list[dict]:
    """What emojibase says of each emoji in English: hexcode, label, tags."""
    return json.loads(members(tarball, ["package/en/data.json"])["package/en/data.json"])


def _code(text: str) -> str:
    return text.lower().replace("-fe0f", "").replace("fe0f-", "")


def _plain(label: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[:“”\"()]", " ", label)).replace(" ,", ",").strip().lower()


def _svg(drawn: dict, icon: dict) -> str:
    left, top = icon.get("left", 0), icon.get("top", 0)
    wide, high = (icon.get(each, drawn.get(each, 16)) for each in ("width", "height"))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {wide} {high}">{icon["body"]}</svg>'


_TONES = re.compile(r"(^|-)(light|medium|dark|skin-tone)(-|$)")
_SIGNS = re.compile(
    r"button|flag|keycap|oclock|thirty|input|symbol|letter|japanese|alphabet|sorting|(^|-)[0-9]+(-|$)|"
    r"(^|-)map-of|family|couple-with-heart|(^|-)kiss-"
)
# Categories whose icons are things to look at, no signs of an interface and no marks of a company.
_GROUPS = {
    *("Activities", "Animals & Nature", "Food & Drink", "Objects", "People & Body", "Smileys & Emotion"),
    *("Travel & Places", "Animals", "Baby", "Clothes", "Foods", "Life", "Music", "Travel", "Weather"),
}


def _sayable(icon: str, group: str, has_groups: bool) -> bool:
    return (group in _GROUPS or not has_groups) and not (_TONES.search(icon) or _SIGNS.search(icon))
