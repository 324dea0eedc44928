"""The pinned packages of Debian whose translations are learned from, with the licences in their copyright files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.debian import DebianPackage, fetch_package, iter_members
from recipes.translation.handbook import iter_sentence_pairs
from recipes.translation.messages import is_pair, iter_clean_pairs, parse_catalogue

# The licences are those of the programs, as the packages' copyright files give them; translations share them.
PACKAGES = (
    DebianPackage(
        "apt", "2.6.2", "amd64", "796fc7fe18866f5b1fb27a115d7339e549d71b7ddbc15b8d6fc4226c243e96d1", "GPL-2.0-or-later"
    ),
    DebianPackage(
        "coreutils",
        "9.1-1",
        "amd64",
        "61038f857e346e8500adf53a2a0a20859f4d3a3b51570cc876b153a2d51a3091",
        "GPL-3.0-or-later",
    ),
    DebianPackage(
        "dpkg",
        "1.21.23",
        "amd64",
        "f89e9f8d1a4a50ade44be3ed59a6ec55460fce205d2f8520c5c492137c5b609b",
        "GPL-2.0-or-later",
    ),
    DebianPackage(
        "gimp-data",
        "2.10.34-1+deb12u10",
        "all",
        "89007a69d4ef2b0440e5419e75d4112cfd1c49e97db38220d210b9f86322be7c",
        "GPL-3.0-or-later",
    ),
    DebianPackage(
        "git",
        "1:2.39.5-0+deb12u3",
        "amd64",
        "637a85ddd6247fab13bdd0592f2f39aff04ce4dbf0655d3ab553ac359a38ce6f",
        "GPL-2.0-only",
    ),
    DebianPackage(
        "gnupg-l10n",
        "2.2.40-1.1+deb12u2",
        "all",
        "c985452d06cc7b3b1044cd1eb3f2acac773836d34cafb35b5a4bebae02c1caa0",
        "GPL-3.0-or-later",
    ),
    DebianPackage(
        "libgtk-3-common",
        "3.24.38-2~deb12u3",
        "all",
        "f2642d127d85440acbfc2ed404d3932d8b2fbe8a576ead7f93f35ac1fa999c92",
        "LGPL-2.0-or-later",
    ),
    DebianPackage(
        "vlc-l10n",
        "3.0.24-0+deb12u1",
        "all",
        "11e65bcd6a1d4626b9e2d7388bb93c80edc46da82a6ca3b26d88f71edcb6f9b2",
        "GPL-2.0-or-later",
    ),
)
HANDBOOK = DebianPackage(
    "debian-handbook",
    "11.20220922",
    "all",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
    "GPL-2.0-or-later OR CC-BY-SA-3.0",
)
HANDBOOK_LOCALES = {"en": "en-US", "fr": "fr-FR", "de": "de-DE", "es": "es-ES", "it": "it-IT", "pt": "pt-BR"}


@dataclass(frozen=True)
class TranslationPair:
    """A text and its translation, with their origin."""

    source: str
    target: str
    origin: str
    licence: str


def iter_message_pairs(folder: Path, target: str) -> Iterator[TranslationPair]:
    """Yield the messages of all packages in English and another language."""
    pattern = rf"usr/share/locale/{re.escape(target)}/LC_MESSAGES/[^/]+\.mo"
    for package in PACKAGES:
        deb = fetch_package(folder, package)
        for name, data in iter_members(deb, pattern):
            origin = f"debian:{package.name}:{Path(name).name}"
            for source, translation in iter_clean_pairs(parse_catalogue(data)):
                yield TranslationPair(source, translation, origin, package.licence)


def iter_handbook_pairs(folder: Path, target: str) -> Iterator[TranslationPair]:
    """Yield the sentences of the handbook in English and another language."""
    if target not in HANDBOOK_LOCALES:
        return
    deb = fetch_package(folder, HANDBOOK)
    pages: dict[str, dict[str, str]] = {}
    locales = (HANDBOOK_LOCALES["en"], HANDBOOK_LOCALES[target])
    for name, data in iter_members(deb, rf"usr/share/doc/debian-handbook/html/({'|'.join(locales)})/[^/]+\.html"):
        *_, locale, page = name.split("/")
        pages.setdefault(page, {})[locale] = data.decode("utf-8", "replace")
    for page, by_locale in sorted(pages.items()):
        if len(by_locale) == 2:
            for source, translation in iter_sentence_pairs(*(by_locale[locale] for locale in locales)):
                if is_pair(source, translation):
                    yield TranslationPair(source, translation, f"debian-handbook:{page}", HANDBOOK.licence)
