"""A folder of pictures becomes a data set with captions, and no picture is skipped without a note."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genloom.collect import Report, captions, collect, summarize_report
from genloom.collect.image import perceptual_hash
from genloom.collect.image.caption_words import GENERIC_WORDS
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def run(source: Path, workspace: Workspace, options: Mapping[str, Any] | None = None, name: str = "mine") -> Report:
    *_, last = collect([source], workspace, name, options)
    assert last.report is not None
    return last.report


def read_all(workspace: Workspace, name: str = "mine") -> dict[str, Item]:
    dataset = workspace.get_dataset(name)
    dataset.verify()
    assert dataset.medium == "image"
    return {item.source: item for split in ("train", "val", "test") for item in dataset.iter_documents(split)}


def blobs(number: int, side: int = 48) -> np.ndarray:
    """Return some coloured discs on a coloured background, different for each number."""
    draw = np.random.default_rng(number)
    rows, columns = np.mgrid[:side, :side] / side
    pixels = np.broadcast_to(draw.integers(0, 256, 3), (side, side, 3)).copy()
    for _ in range(5):
        y, x, radius = draw.random(3) * (1, 1, 0.3) + (0, 0, 0.1)
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = draw.integers(0, 256, 3)
    return pixels.astype(np.uint8)


def write(path: Path, number: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blobs(number)).save(path, **options)
    return path


def encode_blobs(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(blobs(number)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_medium_is_that_of_most_files(folder: Path, workspace: Workspace) -> None:
    for i in range(3):
        write(folder / f"red-fox_{i}.png", i)
        (folder / f"red-fox_{i}.txt").write_text(f"fox number {i}\n")
    (folder / "readme.md").write_text("about my pictures")
    (folder / "notes.docx").write_bytes(b"x")
    report = run(folder, workspace)
    assert (report.medium, report.documents_kept) == ("image", 3)
    assert len(report.notes) == 1
    assert not report.notes[0].is_skipped
    assert "1 .docx, 1 .md" in report.notes[0].reason
    item = read_all(workspace)["pictures/red-fox_1.png"]
    assert np.array_equal(item.value, blobs(1))
    assert item.meta["caption"] == "fox number 1"
    assert (item.meta["width"], item.meta["height"]) == (48, 48)
    assert run(folder, workspace, {"medium": "text"}, "texts").medium == "text"
    with raises_code("core.unknown_part", kind="medium", name="images"):
        run(folder, workspace, {"medium": "images"})


def test_the_precedence_of_captions(folder: Path, workspace: Workspace) -> None:
    exif = Image.Exif()
    exif[0x010E] = "said by the camera"
    write(folder / "a_b.jpg", 0, exif=exif)
    (folder / "a_b.txt").write_text("said beside it")
    write(folder / "b_c.jpg", 1, exif=exif)
    (folder / "b_c.json").write_text(json.dumps({"caption": "said in json", "license": "CC0-1.0"}))
    write(folder / "deep" / "c.jpg", 2, exif=exif)
    write(folder / "deep" / "d.jpg", 3)
    (folder / "metadata.csv").write_text('file_name,text\ndeep/c.jpg,"said, in a table"\n')
    (folder / "deep" / "more.jsonl").write_text(json.dumps({"file": "d.jpg", "prompt": "said in lines"}))
    write(folder / "e_f.jpg", 4, exif=exif)
    write(folder / "blueWhale-at_sea-02.jpg", 5)
    write(folder / "IMG_1234.png", 6)
    write(folder / "cats" / "IMG_2345.png", 7)
    (folder / "g.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>a circle</title><circle r="8"/></svg>'
    )
    report = run(folder, workspace)
    assert report.notes == []
    found = {source.removeprefix("pictures/"): item.meta["caption"] for source, item in read_all(workspace).items()}
    assert found == {
        "a_b.jpg": "said beside it",
        "b_c.jpg": "said in json",
        "deep/c.jpg": "said, in a table",
        "deep/d.jpg": "said in lines",
        "e_f.jpg": "said by the camera",
        "blueWhale-at_sea-02.jpg": "blue Whale at sea",
        "IMG_1234.png": "",
        "cats/IMG_2345.png": "cats",
        "g.svg": "a circle",
    }
    assert report.licences == {"unknown": 8, "CC0-1.0": 1}
    assert report.medium_metadata["captions"] == {
        "a file beside it": 2, "a table beside it": 2, "the file itself": 2, "the file's name": 1, "none": 1,
        "the folder's name": 1,
    }  # fmt: skip


def test_captions_that_others_overrule_are_told(folder: Path, workspace: Workspace) -> None:
    for n, words in enumerate(("the same", "the other", "")):
        write(folder / f"{n}.png", n)
        (folder / f"{n}.txt").write_text("the same")
        (folder / f"{n}.CAPTION").write_text(f"{words}\n")
    write(folder / "3.png", 3)
    (folder / "3.txt").write_text("\n")
    (folder / "3.caption").write_text("used")
    (note,) = run(folder, workspace).notes
    assert (note.source, note.code) == ("pictures/1.CAPTION", "collect.captions_overruled")
    assert not note.is_skipped
    assert read_all(workspace)["pictures/3.png"].meta["caption"] == "used"


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("red-apple_03", "red apple"), ("IMG_20240102_123456", ""), ("DSC01234", ""), ("a1b2c3d4e5f6", ""),
        ("Screenshot 2024-01-02 at 10.00.00", ""), ("image (3)", ""), ("two green apples", "two green apples"),
        ("550e8400-e29b-41d4-a716-446655440000", ""), ("猫と犬", "猫と犬"), ("", ""), ("TheOldHouse2", "The Old House"),
    ],
)  # fmt: skip
def test_captions_from_names(name: str, caption: str) -> None:
    assert captions.derive_caption(name, GENERIC_WORDS) == caption


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS: Mapping[str, dict] = {
    "bytes": {
        "image": pa.array([encode_blobs(0), encode_blobs(1)]),
        "caption": ["one", "two"],
        "license": ["MIT", "CC0-1.0"],
    },
    "huggingface": {
        "img": pa.array(
            [{"bytes": encode_blobs(0), "path": "a.png"}, {"bytes": encode_blobs(1), "path": "b.png"}], STRUCT
        ),
        "text": [["one", "uno"], ["two", "due"]],
        "rights": ["MIT", "CC0-1.0"],
    },
    "sources": {
        "png": pa.array([encode_blobs(0), encode_blobs(1)], pa.large_binary()),
        "text": ["one", "two"],
        "source": ["noto/a", "noto/b"],
        "licence": ["MIT", "CC0-1.0"],
        "bytes": [1, 2],
    },
}


@pytest.mark.parametrize("kind", ROWS)
def test_pictures_in_parquet(folder: Path, workspace: Workspace, kind: str) -> None:
    pq.write_table(pa.table(ROWS[kind]), folder / "rows.parquet")
    report = run(folder / "rows.parquet", workspace)
    items = read_all(workspace)
    names = ["noto/a", "noto/b"] if kind == "sources" else ["rows.parquet:1", "rows.parquet:2"]
    assert sorted(items) == names
    assert [items[name].meta["caption"] for name in names] == ["one", "two"]
    assert [items[name].licence for name in names] == ["MIT", "CC0-1.0"]
    assert np.array_equal(items[names[1]].value, blobs(1))
    assert report.medium_metadata["captions"] == {"a column of the table": 2}


def test_a_data_set_can_be_collected_again(folder: Path, workspace: Workspace) -> None:
    for i in range(12):
        write(folder / f"thing number {i}.png", i)
    run(folder, workspace)
    first = workspace.get_dataset("mine")
    assert run(first.folder, workspace, name="again").documents_kept == 12
    again = workspace.get_dataset("again")
    values = [{item.meta["id"]: item.meta["caption"] for item in d.iter_documents("train")} for d in (first, again)]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", ["scrub", "languages", "size", "background"])
def test_an_option_of_another_medium_is_an_error(folder: Path, workspace: Workspace, name: str) -> None:
    values: dict[str, Any] = {"scrub": ("email",), "languages": ("en",), "size": 64, "background": "black"}
    write(folder / "a.png", 0)
    medium = "text" if name in ("size", "background") else "image"
    with raises_code("collect.unsupported_option", option=f"--{name}", medium=medium):
        run(folder, workspace, dict(medium=medium, **{name: values[name]}))


def test_a_given_column_of_captions(folder: Path, workspace: Workspace) -> None:
    table = pa.table({"image": pa.array([encode_blobs(0)]), "text": ["no"], "said": ["yes"]})
    pq.write_table(table, folder / "rows.parquet")
    run(folder, workspace, {"column": "said"})
    (item,) = read_all(workspace).values()
    assert item.meta["caption"] == "yes"
    with raises_code("collect.nothing_readable") as caught:
        run(folder, workspace, {"column": "sad"})
    assert "'sad'" in caught.value.fields["reasons"]
    assert "image, text, said" in caught.value.fields["reasons"]


def test_unreadable_files_are_listed_with_a_reason(folder: Path, workspace: Workspace) -> None:
    write(folder / "good.png", 0)
    whole = encode_blobs(1)
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.webp").write_bytes(b"I am no picture")
    (folder / "phone.heic").write_bytes(b"x")
    (folder / "all.zip").write_bytes(b"x")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "evil.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/passwd"/></svg>'
    )
    (folder / "list.csv").write_text("name,age\nAda,36\n")
    pq.write_table(pa.table({"image": pa.array([encode_blobs(2), b"junk", None])}), folder / "rows.parquet")
    report = run(folder, workspace)
    codes = {note.source.removeprefix("pictures/"): note.code for note in report.notes}
    of_media = {"cut.png", "text.webp", "evil.svg", "rows.parquet:2", "rows.parquet:3"}  # see tests/media
    assert {name: code for name, code in codes.items() if name not in of_media} == {
        "empty.jpg": "collect.empty_file",
        "phone.heic": "collect.unsupported_suffix",
        "all.zip": "collect.unsupported_suffix",
        "gone.png": "collect.not_a_file",
        "list.csv": "collect.no_captions_in_table",
    }
    assert of_media <= set(codes)
    assert "/etc/passwd" in next(note.reason for note in report.notes if note.source.endswith("evil.svg"))
    assert report.documents_kept == 2
    assert report.files_skipped == 7
    assert "7 files could not be read:" in summarize_report(report)
    card = (workspace.get_dataset("mine").folder / "CARD.md").read_text()
    assert all(note.reason in card for note in report.notes)


def test_a_folder_of_damaged_pictures_is_one_error(folder: Path, workspace: Workspace) -> None:
    (folder / "a.png").write_bytes(b"\x89PNG\r\n")
    with raises_code("collect.nothing_readable", sources="pictures") as caught:
        run(folder, workspace)
    assert "pictures/a.png" in caught.value.fields["reasons"]
    assert workspace.list_datasets() == []
    assert workspace.list_leftovers() == []


def test_pictures_are_resized_and_changes_are_counted(folder: Path, workspace: Workspace) -> None:
    Image.fromarray(blobs(0, 600)).save(folder / "large one.png")
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(folder / "nothing.png")
    frames = [Image.fromarray(blobs(i)) for i in (1, 2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    report = run(folder, workspace, {"size": 100, "background": "#ff8000"})
    items = read_all(workspace)
    assert items["pictures/large one.png"].value.shape == (100, 100, 3)
    assert tuple(items["pictures/nothing.png"].value[0, 0]) == (255, 128, 0)
    assert report.medium_metadata["changed"]["made smaller"] == 1
    assert sorted(report.medium_metadata["changed"].values()) == [1, 1], "and one of several frames was taken"
    warnings = [note for note in report.notes if note.source == "pictures/nothing.png"]
    assert len(warnings) == 2, "it is blank and mostly transparent"
    assert not any(note.is_skipped for note in warnings)
    with pytest.raises(ValueError, match="pinkish"):
        run(folder, workspace, {"background": "pinkish"})


def twin(number: int, how: str) -> Image.Image:
    picture = Image.fromarray(blobs(number, 96))
    if how == "jpeg":
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=60)
        return Image.open(buffer).convert("RGB")
    if how == "smaller":
        return picture.resize((60, 60), Image.Resampling.LANCZOS)
    return picture.point(lambda level: level * 0.95)


@pytest.mark.parametrize("how", ["jpeg", "smaller", "darker"])
def test_near_duplicates_are_dropped(folder: Path, workspace: Workspace, how: str) -> None:
    for i in range(40):
        Image.fromarray(blobs(i, 96)).save(folder / f"{i:02}.png")
        twin(i, how).save(folder / f"twin-{i:02}.png")
    report = run(folder, workspace, {"val": 0.2, "test": 0.2})
    assert report.drop_counts == {"near-duplicate": 40}
    assert {source.removeprefix("pictures/") for source in read_all(workspace)} == {f"{i:02}.png" for i in range(40)}
    assert run(folder, workspace, {"near_duplicates": 0}, "exact").drop_counts == {}


def test_another_colour_is_another_picture() -> None:
    discs = []
    for colour in ((220, 40, 30), (60, 160, 40)):
        pixels = np.full((64, 64, 3), 255, np.uint8)
        rows, columns = np.mgrid[:64, :64]
        pixels[(rows - 32) ** 2 + (columns - 32) ** 2 < 400] = colour
        discs.append(perceptual_hash.make_thumbnail(pixels))
    marks = perceptual_hash.compute_sketches(discs, [bytes(32)] * 2, should_find_near=True).signatures_BP
    assert perceptual_hash.compute_similarity(marks[0], marks)[0] == 1
    assert perceptual_hash.compute_similarity(marks[0], marks)[1] < 0.3


def test_exact_copies_have_equal_pixels_not_equal_files(folder: Path, workspace: Workspace) -> None:
    write(folder / "a.png", 0)
    Image.fromarray(blobs(0)).save(folder / "b.bmp")
    assert run(folder, workspace).drop_counts == {"exact copy": 1}


def test_the_result_does_not_depend_on_the_number_of_processes(folder: Path, workspace: Workspace) -> None:
    for i in range(30):
        write(folder / f"picture of {i}.png", i % 25)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n")
    reports = [run(folder, workspace, {"workers": workers}, f"by-{workers}") for workers in (1, 2)]
    tables = [pq.read_table(workspace.get_dataset(r.name).folder / "part-00000.parquet") for r in reports]
    assert tables[0].equals(tables[1])
    assert reports[0].to_dict() == reports[1].to_dict()


def test_a_licence_from_an_option_or_a_file(folder: Path, workspace: Workspace) -> None:
    write(folder / "a.png", 0)
    (folder / "LICENSE").write_text("CC0 1.0 Universal")
    assert run(folder, workspace).licences == {"CC0-1.0": 1}
    assert run(folder, workspace, {"licence": "my own"}).licences == {"my own": 1}
