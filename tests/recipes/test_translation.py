"""The recipe of translation: catalogues and pages are read, pairs cleaned and split, and a dictionary is learned."""

import hashlib
import io
import json
import lzma
import struct
import tarfile
from pathlib import Path

import pytest

from recipes import debian
from recipes.translation import fetch, handbook, make, messages
from recipes.translation.dictionary import learn_dictionary

ENTRIES = {
    "": "Content-Type: text/plain; charset=ISO-8859-1\n",
    "Cannot open the file %s": "Impossible d'ouvrir le fichier %s",
    "menu\x04_Close the window": "_Fermer la fenêtre",
    "%d file\0%d files": "%d fichier\0%d fichiers",
    "OK": "OK",
}


def make_catalogue(entries: dict[str, str], charset: str = "iso-8859-1", order: str = "<") -> bytes:
    keys = sorted(entries)
    originals = [key.encode() for key in keys]
    translations = [entries[key].encode(charset) for key in keys]
    header_size, count = 28, len(keys)
    offset = header_size + 16 * count
    tables, blob = [b"", b""], b""
    for number, texts in enumerate((originals, translations)):
        for text in texts:
            tables[number] += struct.pack(f"{order}II", len(text), offset + len(blob))
            blob += text + b"\0"
    magic = struct.pack(f"{order}I", 0x950412DE)
    header = magic + struct.pack(f"{order}6I", 0, count, header_size, header_size + 8 * count, 0, 0)
    return header + tables[0] + tables[1] + blob


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_catalogue_is_read_in_its_encoding(order: str) -> None:
    assert set(messages.parse_catalogue(make_catalogue(ENTRIES, order=order))) == {
        ("Cannot open the file %s", "Impossible d'ouvrir le fichier %s"),
        ("_Close the window", "_Fermer la fenêtre"),
        ("%d file", "%d fichier"),
        ("OK", "OK"),
    }


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04" + b"x" * 40, make_catalogue(ENTRIES)[:60], b"\xde\x12\x04\x95" + b"\xff" * 24]
)
def test_a_damaged_catalogue_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="catalogue"):
        messages.parse_catalogue(data)


def test_pairs_are_cleaned_and_those_that_teach_nothing_left_out() -> None:
    pairs = messages.parse_catalogue(make_catalogue(ENTRIES))
    assert set(messages.iter_clean_pairs(pairs)) == {
        ("Cannot open the file %s", "Impossible d'ouvrir le fichier %s"),
        ("Close the window", "Fermer la fenêtre"),
        ("%d file", "%d fichier"),
    }
    assert not messages.is_pair("Open %s now", "Ouvrir maintenant"), "a placeholder is lost"
    assert not messages.is_pair("Open", "Une phrase beaucoup trop longue pour un seul mot anglais")


def test_the_pages_of_two_languages_are_aligned() -> None:
    source = "<h1>Installing the system</h1><pre>apt install x</pre><p>Insert the disk. Then press Enter.</p>"
    source += '<div class="para">Choose the language of the installer from the long list that is shown.</div>'
    target = "<h1>Installer le système</h1><p>Insérez le disque. Puis appuyez sur Entrée.</p>"
    target += "<p>Note.</p>"
    target += '<div class="para">Choisissez la langue du programme dans la longue liste affichée.</div>'
    assert list(handbook.iter_sentence_pairs(source, target)) == [
        ("Installing the system", "Installer le système"),
        ("Insert the disk.", "Insérez le disque."),
        ("Then press Enter.", "Puis appuyez sur Entrée."),
        (
            "Choose the language of the installer from the long list that is shown.",
            "Choisissez la langue du programme dans la longue liste affichée.",
        ),
    ]


def test_no_text_is_in_training_and_held_out() -> None:
    pairs = [
        fetch.TranslationPair(f"Open the {a} of the {b}", f"Ouvrir le {b} du {a}", "x", "CC0-1.0")
        for a in ("file", "door", "menu", "book", "list", "page", "card", "site", "tool", "view")
        for b in ("house", "school", "bank", "shop", "church", "museum", "hotel", "farm", "mill", "ship")
    ]
    train, held_out = make.split_pairs(make.select_pairs([*pairs, *pairs]))
    assert len(train) + len(held_out) == 100
    assert held_out
    assert not {pair.source for pair in train} & {pair.source for pair in held_out}
    assert not {pair.target for pair in train} & {pair.target for pair in held_out}


def test_a_record_asks_as_the_command_does() -> None:
    record = make.to_record(fetch.TranslationPair("Good day", "Bonjour", "debian:x", "GPL-2.0-or-later"), "fr")
    assert record["licence"] == "GPL-2.0-or-later"
    question, answer = record["messages"]  # ty: ignore[not-iterable]
    assert question["content"].startswith("Translate from English to French.")
    assert question["content"].endswith("\n\nGood day")
    assert answer == {"role": "assistant", "content": "Bonjour"}


def test_a_dictionary_learns_words_from_sentences() -> None:
    nouns = {"house": "maison", "dog": "chien", "book": "livre", "tree": "arbre", "king": "roi"}
    verbs = {"sees": "voit", "likes": "aime", "takes": "prend"}
    pairs = [
        (f"the {a} {verb} a {b}", f"le {nouns[a]} {verbs[verb]} un {nouns[b]}")
        for a in nouns
        for b in nouns
        for verb in verbs
    ]
    pairs += [(f"the {noun}", f"le {nouns[noun]}") for noun in nouns]
    dictionary = learn_dictionary(pairs)
    assert dictionary.translate_text("The dog likes a tree.") == "Le chien aime un arbre."
    assert dictionary.translate_text("Unknown 12 words!") == "Unknown 12 words!"


def make_package(folder: Path, files: dict[str, bytes]) -> tuple[Path, debian.DebianPackage]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = lzma.compress(stream.getvalue())
    content = b"!<arch>\n"
    for name, member in (("debian-binary", b"2.0\n"), ("data.tar.xz", data)):
        content += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(member):<10}`\n".encode()
            + member
            + b"\n" * (len(member) % 2)
        )
    package = debian.DebianPackage("words", "1:2.0-1", "all", hashlib.sha256(content).hexdigest(), "GPL-2.0-or-later")
    path = folder / package.file
    path.write_bytes(content)
    return path, package


def test_files_of_a_package_are_read_without_installing_it(tmp_path: Path) -> None:
    path, package = make_package(tmp_path, {"usr/share/a.mo": b"one", "usr/share/b.txt": b"two"})
    assert path.name == "words_1%3a2.0-1_all.deb"
    assert debian.fetch_package(tmp_path, package) == path
    assert list(debian.iter_members(path, r"usr/share/\w+\.mo")) == [("usr/share/a.mo", b"one")]
    path.write_bytes(b"!<arch>\n" + b"another")
    with pytest.raises(ValueError, match="is not words"):
        debian.fetch_package(tmp_path, package)
    with pytest.raises(ValueError, match="no files"):
        debian.read_data(path)


def test_the_data_are_made_from_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"": "charset=utf-8\n"} | {
        f"Open file number {n} of the list": f"Ouvrir le fichier {n}" for n in "abcdefgh"
    }
    catalogue = make_catalogue(entries, "utf-8")
    _, package = make_package(tmp_path, {"usr/share/locale/fr/LC_MESSAGES/words.mo": catalogue})
    monkeypatch.setattr(fetch, "PACKAGES", (package,))
    make.main(["--to", "French", "--out", str(tmp_path), "--without-handbook"])
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    held_out = (tmp_path / "held-out.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) + len(held_out) == 8
    assert all(row["source"] == "debian:words:words.mo" and row["licence"] == "GPL-2.0-or-later" for row in rows)
