"""Files and addresses sent to harm: through uploads, images and imports of the whole server."""

import io
import json
import pickle  # noqa: TID251  # to write what must not be read
import socket
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.server.openai.conftest import RunningServer, api  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow
MARK = "/tmp/genloom-hostile-mark"


class Payload:
    """Leaves a mark if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path(MARK).write_text, ("run",)


def zip_files(**names: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_link(target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, target)
    return buffer.getvalue()


def build_png(width: int, height: int) -> bytes:
    def build_chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = build_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = build_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + build_chunk(b"IEND", b"")


def build_svg() -> bytes:
    """Entities of entities: 10^11 words."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>'
    return f'{head}<svg xmlns="http://www.w3.org/2000/svg"><text>&l11;</text></svg>'.encode()


def build_array() -> bytes:
    """An array of objects, which NumPy stores as a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0v\0" + header + pickle.dumps([Payload()])


def build_safetensors(tensors: dict[str, tuple[list[int], list[int]]], length: int | None = None) -> bytes:
    """A file with these shapes and offsets; `length` is what it says about its header."""
    entries = {name: {"dtype": "F32", "shape": s, "data_offsets": o} for name, (s, o) in tensors.items()}
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + b"\0" * 64


SLIP = "genloom-slip"
WAV = b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\x7f"
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 1 0 R/Kids[1 0 R]/Count 99999999>>endobj\ntrailer<</Root 1 0 R>>"
FILES = {
    "plain.txt": b"A tale that anybody may read, with enough words in it to be taken. " * 5,
    "bomb.png": build_png(50_000, 50_000),
    "frames.gif": b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b"\x21\xf9\x04\0\0\0\0\0" * 1000,
    "laughs.svg": build_svg(),
    "long.wav": b"RIFF\xff\xff\xff\xff" + WAV,
    "bomb.docx": zip_files(**{"word/document.xml": b"<w>" + b" " * 200_000_000 + b"</w>"}),
    "slip.docx": zip_files(**{f"../../../../tmp/{SLIP}": b"x", f"/tmp/{SLIP}": b"x", "word/document.xml": b"<w/>"}),
    "link.docx": zip_link("/etc/passwd"),
    "many.epub": zip_files(**{f"{i}.xhtml": b"" for i in range(20_000)}),
    "clash.docx": zip_files(**{"word/document.xml": b"<w/>", "WORD/DOCUMENT.XML": b"<w/>"}),
    "bomb.pdf": PDF,
    "model.pt": pickle.dumps(Payload()),
    "array.npy": build_array(),
    f"../../../../tmp/{SLIP}": b"x",
    f"..\\..\\{SLIP}.txt": b"x",
    f"/etc/{SLIP}": b"x",
    f"C:\\{SLIP}.txt": b"x",
    "nul\0byte.txt": b"x",
    "\u202etxt.exe": b"x",
    "x" * 500 + ".txt": b"x",
}
WEIGHTS = {
    "header longer than the file": build_safetensors({}, 2**40),
    "negative offsets": build_safetensors({"a": ([2], [-8, 0])}),
    "overlapping": build_safetensors({"a": ([2], [0, 8]), "b": ([2], [4, 12])}),
    "huge shape": build_safetensors({"a": ([2**63 - 1, 2], [0, 8])}),
}


def upload(client: httpx2.Client, files: dict[str, bytes]) -> str:
    parts = [("files", (name, content)) for name, content in files.items()]
    response = client.post("/api/uploads", files=parts)
    assert response.status_code == 201, response.text
    return response.json()["id"]


def run_job(client: httpx2.Client, kind: str, **params: Any) -> dict[str, Any]:
    response = client.post("/api/jobs", json={"kind": kind, "params": params})
    assert response.status_code in (200, 201, 202), response.text
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job = client.get(f"/api/jobs/{response.json()['id']}").json()
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.2)
    raise AssertionError(f"{kind} has not ended")


def check_nothing_leaked(api: RunningServer, answer: Any) -> None:  # noqa: F811
    text = json.dumps(answer)
    assert not Path(MARK).exists(), "a pickle was run"
    assert not [path for path in ("/tmp/genloom-slip", "/etc/genloom-slip") if Path(path).exists()]
    assert "root:x:" not in text
    assert str(api.workspace.folder) not in text
    assert "Traceback" not in text


def test_hostile_files_are_refused_one_by_one_and_the_others_collected(api: RunningServer) -> None:  # noqa: F811
    with api.open() as client:
        id = upload(client, FILES)
        inside = (api.workspace.folder / "uploads" / id).resolve()
        assert all(path.resolve().is_relative_to(inside) for path in inside.rglob("*"))
        assert not [path for path in inside.rglob("*") if path.is_symlink()]
        (inside / "files" / "linked.txt").symlink_to("/etc/passwd")  # as if a disk had been tampered with
        start = time.monotonic()
        job = run_job(client, "collect", upload=id, name="hostile", medium="text")
        assert time.monotonic() - start < 100
        assert job["state"] == "succeeded", job
        check_nothing_leaked(api, job)
        shown = client.get("/api/datasets/hostile").json(), client.get("/api/datasets/hostile/samples").json()
        check_nothing_leaked(api, shown)
        assert client.delete("/api/datasets/hostile").status_code in (200, 204)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_damaged_weights_are_one_clear_error(api: RunningServer, kind: str) -> None:  # noqa: F811
    config = {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 8, "n_positions": 8}
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": WEIGHTS[kind]}
    with api.open() as client:
        job = run_job(client, "import", upload=upload(client, files), name="hostile")
    assert (job["state"], bool(job["error"]["message"])) == ("failed", True)
    assert job["error"]["code"] != "internal_error", job["error"]
    check_nothing_leaked(api, job)


def test_pickled_weights_are_not_opened(api: RunningServer) -> None:  # noqa: F811
    with api.open() as client:
        for name in ("pytorch_model.bin", "model.pt", "model.ckpt"):
            files = {"config.json": b'{"model_type": "gpt2"}', name: pickle.dumps(Payload())}
            job = run_job(client, "import", upload=upload(client, files), name="hostile")
            assert job["state"] == "failed"
            assert job["error"]["code"] != "internal_error", job["error"]
            check_nothing_leaked(api, job)


@pytest.mark.parametrize("name", ["bomb.png", "frames.gif", "laughs.svg", "model.pt", "plain.txt"])
def test_images_to_edit_are_limited_before_they_are_decoded(api: RunningServer, name: str) -> None:  # noqa: F811
    before = measure_memory(api)
    with api.open() as client:
        start = time.monotonic()
        data = {"prompt": "a house", "model": "blots"}
        response = client.post("/v1/images/edits", files={"image": (name, FILES[name], "image/png")}, data=data)
        assert time.monotonic() - start < 30
    assert response.status_code == 400, response.text
    check_nothing_leaked(api, response.json())
    assert measure_memory(api) - before < 300_000_000


ADDRESSES = (
    "http://169.254.169.254/latest/meta-data",
    "https://evil.example/a.png",
    "http://[::1]:7860/api/keys",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://127.0.0.1\\@evil.example/",
    "file:///etc/passwd",
    "ftp://evil.example/a.png",
    "//evil.example/a.png",
    "gopher://127.0.0.1:25/",
    "data:text/html,<script>",
    "data:image/png;base64,AAAA",
    "data:image/png;base64,not base64!",
    "",
)


def test_no_address_in_a_message_is_fetched(api: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    names: list[Any] = []
    own = int(api.url.rpartition(":")[2])
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def watch_connect(self: socket.socket, address: Any) -> Any:
        if address[1] != own:
            names.append(address)
        return connect(self, address)

    def watch_name(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if port != own:
            names.append(host)
        return look_up(host, port, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", watch_connect)
    monkeypatch.setattr(socket, "getaddrinfo", watch_name)
    with api.open() as client:
        for address in ADDRESSES:
            part = {"type": "image_url", "image_url": {"url": address}}
            messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
            response = client.post("/v1/chat/completions", json={"model": "tales", "messages": messages})
            assert response.status_code == 400, (address, response.text)
            parts = [{"type": "input_image", "image_url": address}]
            body = {"model": "tales", "input": [{"role": "user", "content": parts}]}
            response = client.post("/v1/responses", json=body)
            assert response.status_code == 400, (address, response.text)
    assert names == []


def measure_memory(api: RunningServer) -> int:  # noqa: F811
    """Return the memory of this process, which runs the server, and of those it started."""
    process = psutil.Process()
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
