"""Embeddings of texts: of norm 1, near for texts that mean the same, alone or in a batch, and as files."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import genloom as gl
from genloom.cli import run
from genloom.text_encoders.minilm.sentences import MAX_SENTENCE_PIECES, WIDTH, embed_texts, load_sentence_encoder
from tests.errors import raises_code


def test_texts_that_mean_the_same_are_near() -> None:
    vectors = embed_texts(
        ["How long is the warranty?", "The guarantee lasts two years.", "Bake the bread for an hour."]
    )
    assert vectors.shape == (3, WIDTH)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_text_has_the_same_vector_in_any_batch() -> None:
    texts = ["short", "a text of some more words", "word " * 150, "word " * 400, "", "保修期为两年"]
    together = embed_texts(texts)
    for text, vector in zip(texts, together, strict=True):
        assert float(embed_texts([text])[0] @ vector) > 0.9995


def test_the_end_of_a_long_text_is_not_read() -> None:
    ids = load_sentence_encoder().tokenize(["word " * 1000, "x" * 100_000])
    assert [len(row) for row in ids] == [MAX_SENTENCE_PIECES + 2, 3]


def test_progress_counts_the_texts() -> None:
    done: list[int] = []
    embed_texts([f"text {n}" for n in range(50)], report=done.append)
    assert done[-1] == 50


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    rows = [{"id": 1, "text": "The kettle boils."}, {"id": 2, "text": "The lamp shines."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".jsonl"])
def test_the_vectors_of_rows_are_written_as_a_file(table: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"vectors{suffix}"
    assert run(["embed", str(table), "--out", str(out), "--workspace", str(tmp_path / "ws")]) == 0
    if suffix == ".npy":
        vectors = np.load(out, allow_pickle=False)
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["text"] for row in rows] == ["The kettle boils.", "The lamp shines."]
        vectors = np.array([row["vector"] for row in rows])
    else:
        content = pq.read_table(out).to_pydict()
        assert content["source"] == ["docs.jsonl:1", "docs.jsonl:2"]
        vectors = np.array(content["vector"])
    expected = gl.Workspace(tmp_path / "ws").embed(["The kettle boils.", "The lamp shines."])
    assert np.allclose(vectors, expected, atol=1e-6)


def test_rows_that_cannot_be_read_are_named_by_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "docs", tmp_path / "v.jsonl"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"\n\n[1, 2]\n{"body": "x"}\n{"body": "y"}\n')
    (folder / "b.csv").write_text("text,n\nx\ny,1\n")
    (folder / "c.json").write_text('{"a": [1,\n 2')
    (folder / "d.jsonl").write_bytes(bytes(range(256)) * 9)

    def embed(*words: str, status: int = 0) -> str:
        assert run(["embed", *words, "--out", str(out), "--workspace", str(tmp_path / "ws")]) == status
        return capsys.readouterr().err

    notes = embed(str(folder))
    assert "a.jsonl: line 2: it is not valid JSON (Expecting ',' delimiter, column 15)" in notes
    assert "b.csv: line 2: it has 1 column instead of 2" in notes
    assert "c.json: it is not valid JSON (Expecting ',' delimiter, line 2, column 3)" in notes
    assert "d.jsonl: it is not text" in notes
    notes = embed(str(folder / "a.jsonl"), "--column", "text")
    assert "line 4: it has no column 'text', but: a value without columns; the same in 2 more lines" in notes
    assert [json.loads(line)["text"] for line in out.read_text().splitlines()] == ["one"]
    assert "line 1: it has no column 'gone', but: text" in embed(str(folder / "a.jsonl"), "--column", "gone", status=2)
    assert "it is not text" in embed(str(folder / "d.jsonl"), status=2)


def test_what_cannot_be_embedded_is_named(table: Path, tmp_path: Path) -> None:
    workspace = str(tmp_path / "ws")
    assert run(["embed", str(table), "--out", str(tmp_path / "v.csv"), "--workspace", workspace]) == 2
    assert run(["embed", str(tmp_path / "missing.jsonl"), "--workspace", workspace]) == 2
    assert (
        run(["embed", str(table), "--column", "body", "--out", str(tmp_path / "v.npy"), "--workspace", workspace]) == 2
    )
    with raises_code("knowledge.vectors_suffix"):
        from genloom.api.embedding import embed_file

        embed_file(gl.Workspace(workspace), table, tmp_path / "v.csv")
