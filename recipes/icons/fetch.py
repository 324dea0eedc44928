"""Fetches pinned icon packages from npm and reads their icons with labels, tags, categories and licences."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_MEMBERS = 20_000  # files in a package
MAX_MEMBER_BYTES = 64 << 20


@dataclass(frozen=True)
class Package:
    """A version of an npm package, with the SHA-256 of its tarball."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The name of the tarball from `npm pack`."""
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
    "emojione": Package(
        "@iconify-json/emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"
    ),
    "noto-v1": Package(
        "@iconify-json/noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"
    ),
    "fxemoji": Package(
        "@iconify-json/fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"
    ),
    "streamline-emojis": Package(
        "@iconify-json/streamline-emojis", "1.2.4", "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc"
    ),
}
# Sets of emoji without a table of characters: their icons are found by the names of emoji.
NAMED_BY_EMOJI = ("emojione", "noto-v1", "fxemoji", "streamline-emojis")
# The groups of emoji, as other sets name them.
EMOJI_GROUPS = {
    0: "Smileys & Emotion", 1: "People & Body", 3: "Animals & Nature", 4: "Food & Drink", 5: "Travel & Places",
    6: "Activities", 7: "Objects",
}  # fmt: skip
WORDS = Package("emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a")


@dataclass(frozen=True)
class Icon:
    """An icon: its set and name there, SVG text, description and origin.

    `licence` is an SPDX identifier; `credit` names the authors and their website.
    """

    set: str
    name: str
    svg: str
    label: str
    tags: tuple[str, ...]
    category: str
    licence: str
    credit: str


def fetch_package(package: Package, folder: Path) -> Path:
    """Return the tarball of `package` in `folder`, fetched by `npm pack` if missing; check its digest."""
    path = folder / package.file
    if not path.exists():
        if (npm := shutil.which("npm")) is None:
            raise ValueError(
                f"Fetching {package.name} needs npm. Install Node.js, or put {package.file} into {folder}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        call = [npm, "pack", f"{package.name}@{package.version}", "--pack-destination", str(folder), "--silent"]
        done = subprocess.run(call, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0 or not path.exists():
            output = (done.stderr or done.stdout).strip()[-300:]
            raise ValueError(f"npm could not fetch {package.name}@{package.version}. Try again later: {output}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise ValueError(
            f"{path} is not {package.name} {package.version} (its SHA-256 is {digest}). Delete it and run again."
        )
    return path


def read_members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read the named files of a tarball within limits, without writing to the disk."""
    remaining, contents = set(names), {}
    with tarfile.open(path, "r:gz") as tar:
        for count, member in enumerate(tar):
            if count >= MAX_MEMBERS:
                raise ValueError(f"{path} has more than {MAX_MEMBERS:,} files. Delete it and run again.")
            if member.name not in remaining or not member.isfile():
                continue
            if member.size > MAX_MEMBER_BYTES:
                raise ValueError(
                    f"{member.name} in {path} is larger than {MAX_MEMBER_BYTES >> 20} MiB. Delete it and run again."
                )
            file = tar.extractfile(member)
            assert file is not None
            contents[member.name] = file.read(MAX_MEMBER_BYTES)
    if missing := sorted(remaining - contents.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}. Delete it and run again.")
    return contents


def read_icons(name: str, tarball: Path, words: Path) -> Iterator[Icon]:
    """Yield the icons of a set that a caption can describe: no skin tones, flags, signs, letters or clock faces."""
    files = ("icons", "info", "metadata", "chars")
    contents = read_members(tarball, [f"package/{file}.json" for file in files])
    drawings, info, metadata, chars = (json.loads(contents[f"package/{file}.json"]) for file in files)
    emojis = {_normalize_code(entry["hexcode"]): entry for entry in read_emojis(words)}
    entries = {icon: emojis[_normalize_code(code)] for code, icon in chars.items() if _normalize_code(code) in emojis}
    category = {icon: group for group, members in metadata.get("categories", {}).items() for icon in members}
    if name in NAMED_BY_EMOJI:
        by_label = {_compact_name(entry["label"]): entry for entry in emojis.values()}
        entries = {icon: by_label[_compact_name(icon)] for icon in drawings["icons"] if _compact_name(icon) in by_label}
        category = {icon: EMOJI_GROUPS.get(entry.get("group", -1), "") for icon, entry in entries.items()}
    author, licence = info["author"], info["license"]["spdx"]
    credit = f"{info['name']} by {author['name']}, {author['url']}"
    for icon, body in drawings["icons"].items():
        group = category.get(icon, "")
        if body.get("hidden") or not _is_describable(icon, group, has_groups=bool(category)):
            continue
        entry = entries.get(icon, {})
        label = _clean_label(entry.get("label", icon.replace("-", " ")))
        yield Icon(name, icon, _build_svg(drawings, body), label, tuple(entry.get("tags", ())), group, licence, credit)


def read_emojis(tarball: Path) -> list[dict]:
    """Return the English entries of emojibase: hexcode, label, tags."""
    return json.loads(read_members(tarball, ["package/en/data.json"])["package/en/data.json"])


def _compact_name(name: str) -> str:
    """Return the letters of a name, without a number at its end that counts variants."""
    return re.sub(r"[^a-z]", "", re.sub(r"-[0-9]$", "", name.lower()))


def _normalize_code(text: str) -> str:
    return text.lower().replace("-fe0f", "").replace("fe0f-", "")


def _clean_label(label: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[:“”\"()]", " ", label)).replace(" ,", ",").strip().lower()


def _build_svg(drawings: dict, icon: dict) -> str:
    left, top = icon.get("left", 0), icon.get("top", 0)
    wide, high = (icon.get(key, drawings.get(key, 16)) for key in ("width", "height"))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {wide} {high}">{icon["body"]}</svg>'


_TONES = re.compile(r"(^|-)(light|medium|dark|skin-tone)(-|$)")
_SIGNS = re.compile(
    r"button|flag|keycap|oclock|thirty|input|symbol|letter|japanese|alphabet|sorting|(^|-)[0-9]+(-|$)|"
    r"(^|-)map-of|family|couple-with-heart|(^|-)kiss-"
)
# Categories of depicted things, without interface signs and company logos.
_GROUPS = {
    *("Activities", "Animals & Nature", "Food & Drink", "Objects", "People & Body", "Smileys & Emotion"),
    *("Travel & Places", "Animals", "Baby", "Clothes", "Foods", "Life", "Music", "Travel", "Weather"),
}


def _is_describable(icon: str, group: str, has_groups: bool) -> bool:
    return (group in _GROUPS or not has_groups) and not (_TONES.search(icon) or _SIGNS.search(icon))
