"""Someone's pictures become a data set with captions, and none is left out without a word."""

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

from genloom.collect import Options, Report, captions, collect, summarize_report
from genloom.collect.image import perceptual_hash
from genloom.store.workspace import Workspace
from genloom.types import Item


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def run(source: Path, workspace: Workspace, options: Options | None = None, name: str = "mine") -> Report:
    *_, last = collect([source], workspace, name, options)
    assert last.report is not None
    return last.report


def stored(workspace: Workspace, name: str = "mine") -> dict[str, Item]:
    dataset = workspace.get_dataset(name)
    dataset.verify()
    assert dataset.medium == "image"
    return {item.source: item for split in ("train", "val", "test") for item in dataset.iter_documents(split)}


def blobs(number: int, side: int = 48) -> np.ndarray:
    """Some coloured discs on a coloured ground, no two numbers alike."""
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


def encoded(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(blobs(number)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_folder_of_pictures_is_known_by_what_most_files_are(folder: Path, workspace: Workspace) -> None:
    for i in range(3):
        write(folder / f"red-fox_{i}.png", i)
        (folder / f"red-fox_{i}.txt").write_text(f"fox number {i}\n")
    (folder / "readme.md").write_text("about my pictures")
    (folder / "notes.docx").write_bytes(b"x")
    report = run(folder, workspace)
    assert (report.medium, report.documents_kept) == ("image", 3)
    assert [note.reason for note in report.notes] == ["2 files that are no pictures were left out (1 .docx, 1 .md)"]
    item = stored(workspace)["pictures/red-fox_1.png"]
    assert np.array_equal(item.value, blobs(1))
    assert item.meta["caption"] == "fox number 1"
    assert (item.meta["width"], item.meta["height"]) == (48, 48)
    assert run(folder, workspace, Options(medium="text"), "texts").medium == "text"
    with pytest.raises(ValueError, match=r"There is no medium 'images'\. Did you mean 'image'"):
        run(folder, workspace, Options(medium="images"))


def test_captions_by_who_knows_best(folder: Path, workspace: Workspace) -> None:
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
    said = {source.removeprefix("pictures/"): item.meta["caption"] for source, item in stored(workspace).items()}
    assert said == {
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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("red-apple_03", "red apple"), ("IMG_20240102_123456", ""), ("DSC01234", ""), ("a1b2c3d4e5f6", ""),
        ("Screenshot 2024-01-02 at 10.00.00", ""), ("image (3)", ""), ("two green apples", "two green apples"),
        ("550e8400-e29b-41d4-a716-446655440000", ""), ("猫と犬", "猫と犬"), ("", ""), ("TheOldHouse2", "The Old House"),
    ],
)  # fmt: skip
def test_words_of_a_name(name: str, said: str) -> None:
    assert captions.derive_caption(name) == said


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS: Mapping[str, dict] = {
    "bytes": {"image": pa.array([encoded(0), encoded(1)]), "caption": ["one", "two"], "license": ["MIT", "CC0-1.0"]},
    "huggingface": {
        "img": pa.array([{"bytes": encoded(0), "path": "a.png"}, {"bytes": encoded(1), "path": "b.png"}], STRUCT),
        "text": [["one", "uno"], ["two", "due"]],
        "rights": ["MIT", "CC0-1.0"],
    },
    "sources": {
        "png": pa.array([encoded(0), encoded(1)], pa.large_binary()),
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
    items = stored(workspace)
    names = ["noto/a", "noto/b"] if kind == "sources" else ["rows.parquet:1", "rows.parquet:2"]
    assert sorted(items) == names
    assert [items[name].meta["caption"] for name in names] == ["one", "two"]
    assert [items[name].licence for name in names] == ["MIT", "CC0-1.0"]
    assert np.array_equal(items[names[1]].value, blobs(1))
    assert report.medium_metadata["captions"] == {"a column of the table": 2}


def test_a_data_set_is_collected_again_as_it_was(folder: Path, workspace: Workspace) -> None:
    for i in range(12):
        write(folder / f"thing number {i}.png", i)
    run(folder, workspace)
    first = workspace.get_dataset("mine")
    assert run(first.folder, workspace, name="again").documents_kept == 12
    again = workspace.get_dataset("again")
    values = [{item.meta["id"]: item.meta["caption"] for item in d.iter_documents("train")} for d in (first, again)]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", ["scrub", "languages", "size", "background"])
def test_what_means_nothing_for_the_medium_is_said(folder: Path, workspace: Workspace, name: str) -> None:
    asked: dict[str, Any] = {"scrub": ("email",), "languages": ("en",), "size": 64, "background": "black"}
    write(folder / "a.png", 0)
    medium = "text" if name in ("size", "background") else "image"
    with pytest.raises(ValueError, match=f"^{name} means nothing where the medium is {medium}; leave it out"):
        run(folder, workspace, Options(medium=medium, **{name: asked[name]}))


def test_a_column_named_for_captions(folder: Path, workspace: Workspace) -> None:
    table = pa.table({"image": pa.array([encoded(0)]), "text": ["no"], "said": ["yes"]})
    pq.write_table(table, folder / "rows.parquet")
    run(folder, workspace, Options(column="said"))
    (item,) = stored(workspace).values()
    assert item.meta["caption"] == "yes"
    with pytest.raises(ValueError, match="no column 'sad'; it has image, text, said"):
        run(folder, workspace, Options(column="sad"))


def test_what_cannot_be_read_is_listed_with_its_reason(folder: Path, workspace: Workspace) -> None:
    write(folder / "good.png", 0)
    whole = encoded(1)
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
    pq.write_table(pa.table({"image": pa.array([encoded(2), b"junk", None])}), folder / "rows.parquet")
    report = run(folder, workspace)
    reasons = {note.source.removeprefix("pictures/"): note.reason for note in report.notes}
    wanted = {
        "cut.png": "it is damaged or cut short",
        "empty.jpg": "it is empty",
        "text.webp": "it is damaged or not a picture",
        "phone.heic": "save it as .png",
        "all.zip": "unpack it first",
        "gone.png": "leads nowhere",
        "evil.svg": "it refers to '/etc/passwd', which is not fetched",
        "list.csv": "it names no captions of pictures",
        "rows.parquet:2": "it is damaged or not a picture",
        "rows.parquet:3": "it is empty",
    }
    assert set(reasons) == set(wanted)
    assert all(part in reasons[name] for name, part in wanted.items())
    assert report.documents_kept == 2
    assert report.files_skipped == 7
    assert "7 files could not be read:" in summarize_report(report)
    card = (workspace.get_dataset("mine").folder / "CARD.md").read_text()
    assert all(note.reason in card for note in report.notes)


def test_a_folder_of_bad_pictures_is_one_clear_error(folder: Path, workspace: Workspace) -> None:
    (folder / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"^pictures: nothing in it could be collected. pictures/a.png: it is damaged"):
        run(folder, workspace)
    assert workspace.list_datasets() == []
    assert workspace.list_leftovers() == []


def test_pictures_are_brought_to_size_and_what_was_changed_is_told(folder: Path, workspace: Workspace) -> None:
    Image.fromarray(blobs(0, 600)).save(folder / "large one.png")
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(folder / "nothing.png")
    frames = [Image.fromarray(blobs(i)) for i in (1, 2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    report = run(folder, workspace, Options(size=100, background="#ff8000"))
    items = stored(workspace)
    assert items["pictures/large one.png"].value.shape == (100, 100, 3)
    assert tuple(items["pictures/nothing.png"].value[0, 0]) == (255, 128, 0)
    assert report.medium_metadata["changed"] == {"made smaller": 1, "the first of its frames was taken": 1}
    doubts = [(note.reason, note.is_skipped) for note in report.notes if note.source == "pictures/nothing.png"]
    assert doubts == [("it is blank", False), ("it is mostly transparent", False)]
    with pytest.raises(ValueError, match="'pinkish' is no colour"):
        run(folder, workspace, Options(background="pinkish"))


def twin(number: int, how: str) -> Image.Image:
    picture = Image.fromarray(blobs(number, 96))
    if how == "jpeg":
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", score_quality=60)
        return Image.open(buffer).convert("RGB")
    if how == "smaller":
        return picture.resize((60, 60), Image.Resampling.LANCZOS)
    return picture.point(lambda level: level * 0.95)


@pytest.mark.parametrize("how", ["jpeg", "smaller", "darker"])
def test_a_near_duplicate_never_straddles(folder: Path, workspace: Workspace, how: str) -> None:
    for i in range(40):
        Image.fromarray(blobs(i, 96)).save(folder / f"{i:02}.png")
        twin(i, how).save(folder / f"twin-{i:02}.png")
    report = run(folder, workspace, Options(val=0.2, test=0.2))
    assert report.drop_counts == {"near-duplicate": 40}
    assert {source.removeprefix("pictures/") for source in stored(workspace)} == {
        f"{i:02}.encode_png" for i in range(40)
    }
    assert run(folder, workspace, Options(near_duplicates=0), "exact").drop_counts == {}


def test_another_colour_is_another_picture() -> None:
    discs = []
    for colour in ((220, 40, 30), (60, 160, 40)):
        pixels = np.full((64, 64, 3), 255, np.uint8)
        rows, columns = np.mgrid[:64, :64]
        pixels[(rows - 32) ** 2 + (columns - 32) ** 2 < 400] = colour
        discs.append(perceptual_hash.make_thumbnail(pixels))
    marks = perceptual_hash.compute_sketches(discs, [bytes(32)] * 2, should_find_near=True).signatures_BP
    assert perceptual_hash.similarity(marks[0], marks)[0] == 1
    assert perceptual_hash.similarity(marks[0], marks)[1] < 0.3


def test_exact_copies_are_of_pixels_not_of_files(folder: Path, workspace: Workspace) -> None:
    write(folder / "a.png", 0)
    Image.fromarray(blobs(0)).save(folder / "b.bmp")
    assert run(folder, workspace).drop_counts == {"exact copy": 1}


def test_as_many_processes_as_one_likes_and_the_same_result(folder: Path, workspace: Workspace) -> None:
    for i in range(30):
        write(folder / f"picture of {i}.png", i % 25)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n")
    reports = [run(folder, workspace, Options(workers=workers), f"by-{workers}") for workers in (1, 2)]
    tables = [pq.read_table(workspace.get_dataset(r.name).folder / "part-00000.parquet") for r in reports]
    assert tables[0].equals(tables[1])
    assert reports[0].to_dict() == reports[1].to_dict()


def test_a_licence_file_beside_or_a_licence_given(folder: Path, workspace: Workspace) -> None:
    write(folder / "a.png", 0)
    (folder / "LICENSE").write_text("CC0 1.0 Universal")
    assert run(folder, workspace).licences == {"CC0-1.0": 1}
    assert run(folder, workspace, Options(licence="my own")).licences == {"my own": 1}
