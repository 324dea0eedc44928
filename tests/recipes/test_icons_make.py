"""The icons recipe: pinned packages, read within limits, become one file with licences and credits."""

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recipes.icons import fetch as fetching
from recipes.icons.captions import STYLES, build_caption, shows_held_out
from recipes.icons.colours import NAMES
from recipes.icons.fetch import Icon, Package, fetch_package, read_icons, read_members
from recipes.icons.heldout import is_held_out
from recipes.icons.make import MIXTURE, Maker, build_attribution, write_parquet
from recipes.icons.places import PLACES
from recipes.icons.plans import COUNTS
from recipes.icons.vocabulary import NOUNS

BODY = '<rect x="2" y="4" width="28" height="24" fill="#f92f60"/>'
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{BODY}</svg>'


def tarball(path: Path, files: dict[str, bytes]) -> Package:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return Package("toys", "1.0.0", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def words(tmp_path) -> Path:
    said = [{"hexcode": "1F98A", "label": "fox", "tags": ["animal", "face"]}, {"hexcode": "2B50", "label": "star"}]
    tarball(tmp_path / "words.tgz", {"en/data.json": json.dumps(said).encode()})
    return tmp_path / "words.tgz"


@pytest.fixture
def toys(tmp_path) -> tuple[Path, Package]:
    """A set of four icons, including a flag and a skin tone."""
    names = {"Animals & Nature": ["fox-face"], "People & Body": ["hand", "hand-dark"], "Flags": ["flag-x"]}
    files = {
        "icons": {"prefix": "toys", "width": 32, "height": 32}
        | {"icons": {name: {"body": BODY} for some in names.values() for name in some}},
        "info": {"name": "Toys", "author": {"name": "Ann", "url": "https://toys"}, "license": {"spdx": "CC-BY-4.0"}},
        "metadata": {"categories": names},
        "chars": {"1f98a": "fox-face", "270b": "hand"},
    }
    path = tmp_path / "toys-1.0.0.tgz"
    return path, tarball(path, {f"{name}.json": json.dumps(each).encode() for name, each in files.items()})


def icon(set_: str, name: str, label: str = "", category: str = "Objects") -> Icon:
    return Icon(set_, name, SVG, label or name, ("thing", "item"), category, "MIT", f"{set_} by Ann")


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Icon]]:
    found = {name: [icon(name, f"{name}-{k}") for k in range(3)] for name in MIXTURE}
    needed = [*(noun.icon for noun in NOUNS.values()), "open-book"]
    return found | {"fluent-emoji-flat": [icon("fluent-emoji-flat", name) for name in needed]}


def test_icons_come_with_their_words_and_licence(toys, words):
    fox, hand = read_icons("toys", toys[0], words)
    assert (fox.name, fox.label, fox.tags, fox.category) == ("fox-face", "fox", ("animal", "face"), "Animals & Nature")
    assert (fox.licence, fox.credit) == ("CC-BY-4.0", "Toys by Ann, https://toys")
    assert 'viewBox="0 0 32 32"' in fox.svg
    assert BODY in fox.svg
    assert hand.label == "hand"


def test_an_existing_tarball_is_not_fetched_again(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert fetch_package(toys[1], tmp_path) == toys[0]


def test_a_tarball_with_another_digest_is_an_error(toys, tmp_path):
    with pytest.raises(ValueError, match=r"toys 1\.0\.0.*SHA-256"):
        fetch_package(replace(toys[1], sha256="0" * 64), tmp_path)


def test_npm_fetches_what_is_missing(toys, tmp_path, monkeypatch):
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n[ "$2" = toys@1.0.0 ] && /bin/cp {toys[0]} "$4"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    assert fetch_package(toys[1], tmp_path / "new").read_bytes() == toys[0].read_bytes()


def test_a_missing_npm_is_an_error(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"Node\.js.*toys-1\.0\.0\.tgz"):
        fetch_package(toys[1], tmp_path / "new")


def test_the_output_of_a_failed_npm_is_in_the_error(toys, tmp_path, monkeypatch):
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    with pytest.raises(ValueError, match=r"toys@1\.0\.0.*no such package"):
        fetch_package(toys[1], tmp_path / "new")


def test_tarballs_are_read_within_limits(toys, monkeypatch):
    with pytest.raises(ValueError, match=r"package/other\.json"):
        read_members(toys[0], ["package/other.json"])
    with monkeypatch.context() as bound:
        bound.setattr(fetching, "MAX_MEMBER_BYTES", 10)
        with pytest.raises(ValueError, match="MiB"):
            read_members(toys[0], ["package/icons.json"])
    monkeypatch.setattr(fetching, "MAX_MEMBERS", 2)
    with pytest.raises(ValueError, match="2 files"):
        read_members(toys[0], ["package/chars.json"])


def test_a_link_in_a_tarball_is_not_followed(tmp_path):
    with tarfile.open(tmp_path / "toys.tgz", "w:gz") as tar:
        entry = tarfile.TarInfo("package/icons.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(entry)
    with pytest.raises(ValueError, match=r"package/icons\.json"):
        read_members(tmp_path / "toys.tgz", ["package/icons.json"])


def test_a_caption_names_the_label_the_place_and_other_styles_than_the_main_one():
    rng = np.random.default_rng(0)
    some = {build_caption(icon("noto", "owl"), "on the beach", rng) for _ in range(40)}
    assert len(some) >= 3
    assert all("owl" in each and "on the beach" in each and STYLES["noto"] in each for each in some)
    plain = [build_caption(icon("fluent-emoji-flat", "owl"), "", rng) for _ in range(40)]
    assert 0 < sum(STYLES["fluent-emoji-flat"] in each for each in plain) < 20
    assert "an owl" in plain
    assert "a scissors" not in {build_caption(icon("noto", "scissors"), "", rng) for _ in range(40)}


def test_icons_with_held_out_combinations_are_found():
    noun, colour = next((n, c) for n in NOUNS for c in NAMES if is_held_out("colours", n, c))
    assert shows_held_out(icon("noto", "x", f"{colour} {noun}"))
    assert not shows_held_out(icon("noto", "x", noun))
    noun, count = next((n, c) for n in NOUNS for c in COUNTS if is_held_out("counting", n, c))
    assert shows_held_out(icon("noto", "x", f"{COUNTS[count]} {NOUNS[noun].plural}"))
    noun, place = next((n, p) for n in NOUNS for p in PLACES if is_held_out("one", n, p))
    assert shows_held_out(icon("noto", NOUNS[noun].icon, "x"), place)
    assert not shows_held_out(icon("noto", NOUNS[noun].icon, "x"))


def test_an_image_is_a_function_of_seed_and_number(sets):
    one, other = Maker(sets), Maker(sets)
    other.picture(0, 5)
    for number in (0, 5, 11):
        a, b = one.picture(0, number), other.picture(0, number)
        assert (a.pixels == b.pixels).all()
        assert (a.text, a.layout) == (b.text, b.layout)


def test_the_mixture_is_two_thirds_scenes(sets):
    maker = Maker(sets, size=16)
    made = [maker.picture(0, number) for number in range(60)]
    assert np.mean([each.layout != "" for each in made]) == pytest.approx(1 - sum(MIXTURE.values()), abs=0.15)


def test_the_file_stores_images_without_loss(sets, tmp_path):
    maker = Maker(sets)
    made = [maker.picture(0, number) for number in range(5)]
    write_parquet(tmp_path / "icons.parquet", iter(made), group=2)
    rows = pq.read_table(tmp_path / "icons.parquet").to_pylist()
    for each, row in zip(made, rows, strict=True):
        assert (np.asarray(Image.open(io.BytesIO(row["image"]))) == each.pixels).all()
        assert (row["text"], row["licence"], row["source"]) == (each.text, "MIT", each.source)
        assert not row["layout"] or json.loads(row["layout"])["objects"]


def test_every_author_is_credited(sets):
    credits = build_attribution(sets)
    assert all(f"{name} by Ann: MIT" in credits for name in MIXTURE)
    assert "emojibase" in credits
