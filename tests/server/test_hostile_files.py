"""Files and addresses sent to harm: through uploads, images and imports of the whole server."""

import io
import json
import pickle  # noqa: TID251  # to write what must not be read
import socket
import struct
import time
import zipfile
import zlib
from functools import cache, partial
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


@cache
def build_files() -> dict[str, bytes]:
    """The files by their names; to make them takes a second."""
    return {
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
    "header longer than the file": partial(build_safetensors, {}, 2**40),
    "negative offsets": partial(build_safetensors, {"a": ([2], [-8, 0])}),
    "overlapping": partial(build_safetensors, {"a": ([2], [0, 8]), "b": ([2], [4, 12])}),
    "huge shape": partial(build_safetensors, {"a": ([2**63 - 1, 2], [0, 8])}),
    "a million tensors": lambda: build_safetensors({f"t{i}": ([0], [0, 0]) for i in range(1_000_000)}),
}
GGUFS = {
    "a million million tensors": struct.pack("<4sIQQ", b"GGUF", 3, 10**12, 0),
    "fields beyond the file": struct.pack("<4sIQQQ", b"GGUF", 3, 1, 2**60, 2**62),
    "a tensor beyond the file": struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"a", 1, 2**40, 0, 2**50),
    "cut off": b"GGUF\3\0",
}
TEMPLATES = {
    "reads a file": "{{ cycler.__init__.__globals__.os.popen('cat /etc/passwd > " + MARK + "').read() }}",
    "imports": "{{ ''.__class__.__mro__[1].__subclasses__()[0]('" + MARK + "') }}",
    "loops": "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}",
    "nests": "{% if messages %}" * 20_000,
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
        id = upload(client, build_files())
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


@pytest.mark.parametrize("kind", ["knowledge", "verify"])
def test_hostile_files_are_neither_read_as_documents_nor_run_when_verified(api: RunningServer, kind: str) -> None:  # noqa: F811
    before = measure_memory(api)
    with api.open() as client:
        params = {
            "upload": upload(client, build_files()),
            **({"name": "hostile-documents"} if kind == "knowledge" else {}),
        }
        start = time.monotonic()
        job = run_job(client, kind, **params)
        assert time.monotonic() - start < 100
        check_nothing_leaked(api, job)
        assert job["state"] == "succeeded", job["error"]
        if kind == "verify":
            assert len(job["result"]["files"]) > 10
            assert not [each for each in job["result"]["files"] if each["is_workspace"]]
            return
        assert job["result"]["files"] < len(build_files()) / 2
        assert client.delete("/api/knowledge/hostile-documents").status_code == 200
    assert measure_memory(api) - before < 300_000_000


@pytest.mark.parametrize("kind", WEIGHTS)
def test_damaged_weights_are_one_clear_error(api: RunningServer, kind: str) -> None:  # noqa: F811
    config = {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 8, "n_positions": 8}
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": WEIGHTS[kind]()}
    with api.open() as client:
        job = run_job(client, "import", upload=upload(client, files), name="hostile")
    assert (job["state"], bool(job["error"]["message"])) == ("failed", True)
    assert job["error"]["code"] != "internal_error", job["error"]
    check_nothing_leaked(api, job)


@pytest.mark.parametrize("kind", GGUFS)
def test_damaged_gguf_files_are_one_clear_error(api: RunningServer, kind: str) -> None:  # noqa: F811
    with api.open() as client:
        job = run_job(client, "import", upload=upload(client, {"model.gguf": GGUFS[kind]}), name="hostile")
    assert (job["state"], job["error"]["code"]) == ("failed", "exchange.damaged_gguf"), job["error"]
    check_nothing_leaked(api, job)


@pytest.fixture(scope="module")
def folder(api: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A model as others would send it."""
    out = tmp_path_factory.mktemp("model") / "tales"
    api.workspace.model("tales").export(out, to="hf")
    return out


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_hostile_chat_template_is_never_run(api: RunningServer, folder: Path, kind: str) -> None:  # noqa: F811
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    config = json.loads(files.get("tokenizer_config.json", b"{}")) | {"chat_template": TEMPLATES[kind]}
    files["tokenizer_config.json"] = json.dumps(config).encode()
    files["chat_template.jinja"] = TEMPLATES[kind].encode()
    with api.open() as client:
        start = time.monotonic()
        job = run_job(client, "import", upload=upload(client, files), name="hostile-template")
        assert time.monotonic() - start < 100
        check_nothing_leaked(api, job)
        assert job["state"] == "succeeded", job["error"]
        ref = job["result"]["model"]
        question = {"model": ref, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 2}
        response = client.post("/v1/chat/completions", json=question)
        check_nothing_leaked(api, response.json())
        assert response.status_code in (200, 400), response.text
        assert client.delete(f"/api/models/{ref}").status_code == 200


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
        response = client.post("/v1/images/edits", files={"image": (name, build_files()[name], "image/png")}, data=data)
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


def test_no_address_is_fetched(api: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
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
            for kind, params in (
                ("import", {"source": address, "name": "x"}),
                ("collect", {"builtin": address, "name": "x"}),
                ("collect", {"upload": address, "name": "x"}),
                ("knowledge", {"upload": address, "name": "x"}),
                ("verify", {"upload": address}),
                ("generate", {"model": "blots", "files": {"image": address}}),
                ("generate", {"model": "blots", "params": {"image": address}}),
            ):
                response = client.post("/api/jobs", json={"kind": kind, "params": params})
                if response.status_code == 202:  # refused when the engine reads it
                    job = run_job(client, kind, **params)
                    assert (job["state"], "generate") == ("failed", kind), (address, job)
                    continue
                assert response.status_code in (400, 404), (kind, address, response.text)
            data = {"prompt": "a house", "model": "blots", "image": address}
            response = client.post("/v1/images/edits", data=data, files={"mask": ("m.png", b"x", "image/png")})
            assert response.status_code == 400, (address, response.text)
    assert names == []


def measure_memory(api: RunningServer) -> int:  # noqa: F811
    """Return the memory of this process, which runs the server, and of those it started."""
    process = psutil.Process()
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
