"""Files with wrong sizes, offsets, shapes or counts raise a GenloomError, before anything is allocated."""

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from genloom.exchange import gguf_file, gguf_header, safetensors_file
from genloom.exchange.catalog import get_entry
from genloom.exchange.importer import open_source
from tests.errors import raises_code

TENSORS = {"a.weight": torch.arange(12.0).view(3, 4), "b.bias": torch.ones(5, dtype=torch.float16)}


def safe(path: Path, table: dict[str, Any] | bytes, data: bytes = bytes(58), length: int | None = None) -> Path:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


GOOD: dict[str, Any] = {
    "a": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
    "b": {"dtype": "F16", "shape": [5], "data_offsets": [48, 58]},
}


def test_a_valid_safetensors_file_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors")
    tensors = safetensors_file.list_tensors(tmp_path / "x.safetensors")
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name](), tensor)
    assert safetensors_file.read_header(safe(tmp_path / "y.safetensors", GOOD)) == GOOD


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("a", {"shape": [1 << 40, 4]}),
        ("a", {"shape": [-3, -4]}),
        ("a", {"shape": [3.0, 4]}),
        ("a", {"shape": [3, True]}),
        ("a", {"shape": [1] * 9 + [12]}),
        ("a", {"dtype": "F31"}),
        ("a", {"data_offsets": [0, 1 << 50]}),
        ("a", {"data_offsets": [48, 0]}),
        ("a", {"data_offsets": [0]}),
        ("b", {"data_offsets": [40, 50]}),
        ("b", {"data_offsets": [50, 60]}),
        ("b", {"shape": [2], "data_offsets": [48, 52]}),
    ],
    ids=str,
)
def test_an_inconsistent_table_is_an_error(tensor: str, change: dict[str, Any], tmp_path: Path) -> None:
    table = {**GOOD, tensor: {**GOOD[tensor], **change}}
    with raises_code("exchange.damaged_safetensors", path=tmp_path / "x.safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x.safetensors", table))


@pytest.mark.parametrize("kind", [{}, [], None, 5, True, {"F32": 1}, ["F32"]], ids=str)
def test_a_type_that_is_no_text_is_an_error(kind: Any, tmp_path: Path) -> None:
    with raises_code("exchange.damaged_safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x", {**GOOD, "a": {**GOOD["a"], "dtype": kind}}))


@pytest.mark.parametrize("metadata", [[], 5, "x", None, {"a": 1}, {"a": {"b": "c"}}], ids=str)
def test_metadata_of_another_kind_is_an_error(metadata: Any, tmp_path: Path) -> None:
    with raises_code("exchange.damaged_safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x", {**GOOD, "__metadata__": metadata}))


def test_an_error_does_not_repeat_megabytes_of_the_file(tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [
        {"a" * 10**6: GOOD["a"]}, {"a": {**GOOD["a"], "dtype": "F" * 10**6}}, {"a" * 10**6: 5}
    ]  # fmt: skip
    for table in tables:
        with raises_code("exchange.damaged_safetensors") as caught:
            safetensors_file.read_header(safe(tmp_path / "x", table))
        assert len(str(caught.value)) < 1000


def test_tensors_of_every_type_are_read(tmp_path: Path) -> None:
    """The counts of n-grams are U16 and U32; a checkpoint may hold any type that torch has and the format knows."""
    kinds = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "complex64")
    kinds += tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
    tensors = {kind: torch.zeros(2, 3, dtype=getattr(torch, kind)) for kind in kinds}
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    assert safetensors_file.list_tensors(tmp_path / "x.safetensors").keys() == tensors.keys()


@pytest.mark.parametrize("length", [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_wrong_header_length_is_an_error(length: int, tmp_path: Path) -> None:
    with raises_code("exchange.damaged_safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x.safetensors", GOOD, length=length))


def test_a_duplicate_name_and_deep_nesting_are_errors(tmp_path: Path) -> None:
    entry = json.dumps(GOOD["a"]).encode()
    with raises_code("exchange.damaged_safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x", b'{"a":' + entry + b',"a":' + entry + b"}", bytes(48)))
    with raises_code("exchange.damaged_safetensors"):
        safetensors_file.read_header(safe(tmp_path / "x", b"[" * 100_000))


@pytest.fixture(scope="module")
def valid_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GGUF file with fields of many kinds."""
    path = tmp_path_factory.mktemp("gguf") / "x.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_string("general.name", "ä")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(4, 256)).astype(np.float32)
    writer.add_tensor("f32", rows)
    writer.add_tensor("f16", rows.astype(np.float16))
    for kind in ("Q8_0", "Q4_0", "Q4_1", "BF16"):
        quantised = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quants.quantize(rows, quantised), raw_dtype=quantised)
    for kind in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"):  # the library reads these and does not write them
        size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
        blocks = chance.integers(0, 60, (4, size), dtype=np.uint8)
        writer.add_tensor(kind, blocks, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_read_as_by_the_library(valid_gguf: Path) -> None:
    head = gguf_header.read_header(valid_gguf, gguf_file.list_block_sizes())
    other = gguf.GGUFReader(valid_gguf)
    fields = {name: field.contents() for name, field in other.fields.items() if not name.startswith("GGUF.")}
    assert head.metadata == fields
    assert set(head.tensors) == {tensor.name for tensor in other.tensors}
    for tensor in other.tensors:
        mine = gguf_file.load_tensor(valid_gguf, head.tensors[tensor.name])
        np.testing.assert_array_equal(mine.float().numpy(), gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    assert gguf_file.load_tensor(valid_gguf, head.tensors["f16"]).dtype == torch.float16
    assert gguf_file.load_tensor(valid_gguf, head.tensors["BF16"]).dtype == torch.bfloat16


def damage(valid_gguf: Path, folder: Path, at: int, form: str, value: int) -> Path:
    data = bytearray(valid_gguf.read_bytes())
    struct.pack_into(form, data, at, value)
    path = folder / "damaged.gguf"
    path.write_bytes(data)
    return path


def after(valid_gguf: Path, name: bytes) -> int:
    return valid_gguf.read_bytes().index(name) + len(name)


def test_wrong_counts_shapes_and_offsets_are_errors(valid_gguf: Path, tmp_path: Path) -> None:
    tokens, tensor = after(valid_gguf, b"tokenizer.ggml.tokens"), after(valid_gguf, b"Q8_0")
    second = after(valid_gguf, b"f16")
    cases = {
        "version": (4, "<I", 99),
        "count of tensors": (8, "<Q", 1 << 60),
        "count of fields": (16, "<Q", 1 << 60),
        "length of the first name": (24, "<Q", 1 << 62),
        "count of an array": (tokens + 8, "<Q", 1 << 61),
        "kind of an array": (tokens + 4, "<I", 9),
        "length of a text in an array": (tokens + 16, "<Q", 1 << 40),
        "dimensions": (tensor, "<I", 1 << 31),
        "a row": (tensor + 4, "<Q", 1 << 39),
        "a row of no whole blocks": (tensor + 4, "<Q", 255),
        "no rows": (tensor + 12, "<Q", 0),
        "kind of numbers": (tensor + 20, "<I", 77),
        "offset outside": (tensor + 24, "<Q", 1 << 50),
        "offset not aligned": (tensor + 24, "<Q", 1),
        "overlapping tensors": (second + 24, "<Q", 0),
    }
    tracemalloc.start()
    for case, (at, form, value) in cases.items():
        with raises_code("exchange.damaged_gguf", path=tmp_path / "damaged.gguf"):
            gguf_header.read_header(damage(valid_gguf, tmp_path, at, form, value), gguf_file.list_block_sizes())
            pytest.fail(f"no error: {case}")
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_bytes_that_belong_to_no_tensor_are_an_error(valid_gguf: Path, tmp_path: Path) -> None:
    """As where a header counts one tensor too few, after which all others begin at another place."""
    path = tmp_path / "x.gguf"
    path.write_bytes(valid_gguf.read_bytes() + bytes(1000))
    gguf_header.read_header(path, gguf_file.list_block_sizes())
    with path.open("ab") as file:
        file.truncate(1 << 40)
    with raises_code("exchange.damaged_gguf", path=path):
        gguf_header.read_header(path, gguf_file.list_block_sizes())


def test_many_lists_in_a_header_are_limited_together(valid_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_header, "_MAX_VALUES", 3)
    with raises_code("exchange.damaged_gguf", path=valid_gguf):
        gguf_header.read_header(valid_gguf, gguf_file.list_block_sizes())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_headers_are_errors_or_stay_within_the_file(
    data: st.DataObject, valid_gguf: Path, tmp_path: Path
) -> None:
    good = valid_gguf.read_bytes()
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, 900))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(100, len(content)))]
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    try:
        head = gguf_header.read_header(path, gguf_file.list_block_sizes())
    except ValueError:
        return
    with np.errstate(all="ignore"):
        for place in head.tensors.values():
            assert place.offset + place.num_bytes <= len(content)
            assert tuple(gguf_file.load_tensor(path, place).shape) == place.shape


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_tables_are_errors_or_stay_within_the_file(data: st.DataObject, tmp_path: Path) -> None:
    path = safe(tmp_path / "x.safetensors", GOOD)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 59))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        tensors = safetensors_file.list_tensors(path)
    except ValueError:
        return
    for load in tensors.values():
        load()


def test_a_folder_with_one_gguf_file_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "read", lambda path: path)
    (tmp_path / "notes.gguf").touch()
    with open_source(str(tmp_path)) as (source, _):
        assert source == tmp_path / "notes.gguf"
    (tmp_path / "other.gguf").touch()
    with raises_code("exchange.no_config", path=tmp_path), open_source(str(tmp_path)):
        pass


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "chat_template.jinja", "tokenizer_config.json"])
def test_links_whose_files_are_gone_are_told(name: str, tmp_path: Path) -> None:
    """As in a cache of downloads that was cleaned; without its chat template a model would silently not chat."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to("blobs/gone")
    with raises_code("exchange.broken_links", path=tmp_path, files=name), open_source(str(tmp_path)):
        pass


def test_what_is_there_and_no_model_is_not_called_missing() -> None:
    with raises_code("exchange.unsupported_file", path="/dev/null"):
        get_entry("/dev/null")
    with raises_code("exchange.not_downloaded", source="/no/such/file"):
        get_entry("/no/such/file")
