"""A data set of any medium is read as the values that were written to it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genloom.media import image
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from tests.errors import raises_code

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)


def create_dataset(workspace: Workspace, medium: str | None = "image", **columns: object) -> Dataset:
    """Create three images, the last for validation; `columns` replace the usual ones, None removes one."""
    content = [image.encode(pixels) for pixels in PIXELS]
    usual = {
        "id": ["a", "b", "c"], "text": ["a fox", "", "a hat"], "source": ["x:1", "x:2", "x:3"],
        "licence": ["MIT", "MIT", "CC0-1.0"], "split": ["train", "train", "val"], "bytes": [len(c) for c in content],
        "content": pa.array(content, pa.binary()), "width": [6, 6, 6],
    }  # fmt: skip
    staged = workspace.create_dataset("pictures")
    with staged as folder:
        pq.write_table(
            pa.table({k: v for k, v in (usual | columns).items() if v is not None}), folder / "part-0.parquet"
        )
        (folder / "manifest.json").write_text(json.dumps({"medium": medium} if medium else {}))
    return workspace.get_dataset("pictures")


def test_images_are_decoded_with_their_captions(tmp_path: Path) -> None:
    dataset = create_dataset(Workspace(tmp_path))
    first, second = dataset.iter_documents("train")
    assert dataset.medium == "image"
    assert np.array_equal(first.value, PIXELS[0])
    assert (first.source, first.licence) == ("x:1", "MIT")
    assert first.meta == {"id": "a", "bytes": len(image.encode(PIXELS[0])), "width": 6, "caption": "a fox"}
    assert second.meta["caption"] == ""
    assert dataset.count_documents("val") == 1
    assert dataset.count_bytes("val") == len(image.encode(PIXELS[2]))


def test_documents_that_are_gone_are_told(tmp_path: Path) -> None:
    """As after the workspace was moved: a data set is not empty for that."""
    dataset = create_dataset(Workspace(tmp_path))
    part = dataset.folder / "part-0.parquet"
    part.unlink()
    for read in (lambda: list(dataset.iter_documents("train")), lambda: dataset.count_documents("val")):
        with raises_code("store.damaged", path=part):
            read()


def test_a_data_set_that_names_no_medium_holds_text(tmp_path: Path) -> None:
    dataset = create_dataset(Workspace(tmp_path), medium=None, content=None, width=None)
    assert dataset.medium == "text"
    assert [item.value for item in dataset.iter_documents("val")] == ["a hat"]


def test_a_damaged_part_is_one_clear_sentence(tmp_path: Path) -> None:
    dataset = create_dataset(Workspace(tmp_path))
    (part,) = dataset.folder.glob("part-*.parquet")
    good = part.read_bytes()
    for damaged in (b"", good[:-20], good[9:]):
        part.write_bytes(damaged)
        with raises_code("store.damaged", path=part, reason="it cannot be read as Parquet"):
            list(dataset.iter_documents("train"))


def test_damaged_parts_are_named(tmp_path: Path) -> None:
    broken = pa.array([b"", b"not an image", image.encode(PIXELS[0])], pa.binary())
    dataset = create_dataset(Workspace(tmp_path / "one"), content=broken)
    with raises_code("store.damaged", path=dataset.folder) as error:
        list(dataset.iter_documents("train"))
    assert error.value.fields["reason"].startswith("its document a: ")
    dataset = create_dataset(Workspace(tmp_path / "two"), licence=None)
    with raises_code("store.damaged", path=dataset.folder / "part-0.parquet") as error:
        list(dataset.iter_documents("train"))
    assert "'licence'" in error.value.fields["reason"]
    with raises_code("core.unknown_part", kind="medium", name="smell"):
        list(create_dataset(Workspace(tmp_path / "three"), medium="smell").iter_documents("train"))


def test_one_column_is_read_without_the_values(tmp_path: Path) -> None:
    """So planning reads the numbers of a column, not gigabytes of images beside it."""
    shapes = pa.array([[2, 1], [1, 2], None], pa.list_(pa.int64()))
    loads = pa.array([[1.0, 2.0], [3.0, 4.0], None], pa.list_(pa.float32()))
    dataset = create_dataset(Workspace(tmp_path), **{"loads": loads, "loads.shape": shapes, "content": [b"x"] * 3})
    assert [item.meta for item in dataset.iter_metadata("train", "width")] == [{"width": 6}, {"width": 6}]
    first, _ = dataset.iter_metadata("train", "loads")
    assert (first.value, first.meta["loads"].tolist()) == (None, [[1.0], [2.0]])
    assert [item.meta["caption"] for item in dataset.iter_metadata("train", "caption")] == ["a fox", ""]
    assert {"id", "width", "loads"} <= next(dataset.iter_metadata("train", "height")).meta.keys()


def test_excluded_documents_are_read_nowhere(tmp_path: Path) -> None:
    texts = [f"text {n} " * (n + 1) for n in range(40)]
    columns = {
        "id": [f"{n:02}" for n in range(40)], "text": texts, "source": ["a"] * 40, "licence": ["b"] * 40,
        "split": ["val", "train"] * 20, "bytes": [len(text) for text in texts], "content": None, "width": None,
    }  # fmt: skip
    dataset = create_dataset(Workspace(tmp_path), None, **columns)
    partly = dataset.exclude(["00", "04"]).exclude(["38"])
    expected = [text for n, text in enumerate(texts) if n % 2 == 0 and n not in (0, 4, 38)]
    assert [item.value for item in partly.iter_documents("val")] == expected
    assert [number for ids in partly.iter_ids("val") for number in ids][:2] == ["02", "06"]
    assert partly.count_documents("val") == 17
    assert partly.count_bytes("val") == sum(map(len, expected))
    assert {item.value for item in partly.sample_documents("val", 17)} == set(expected)
    assert len("".join(item.value for item in partly.iter_passages("val", 300))) >= 300
    assert partly.count_documents("train") == 20
