"""Random changes to the files of a model, a GGUF file and an adapter: imported or refused, never anything else."""

import json
import random
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.errors import GenloomError
from genloom.exchange.importer import import_model
from genloom.store.workspace import Workspace
from tests.exchange.small_models import create_own, tune
from tests.exchange.test_hostile_values import ODD, iter_paths, replace_at

NUM_MUTATIONS = 300
MAX_SECONDS, MAX_BYTES = 10.0, 1 << 30  # of one import, and of memory that all of them add

Mutation = Callable[[random.Random, bytes], bytes]


def flip_bytes(chance: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        data[int(len(data) * chance.random() ** 3)] = chance.choice((0, 1, 255, chance.randrange(256)))
    return bytes(data)


def cut(chance: random.Random, content: bytes) -> bytes:
    return content[: int(len(content) * chance.random())]


def grow_number(chance: random.Random, content: bytes) -> bytes:
    """Overwrite eight bytes, which are a count or an offset in a binary header, with a large number."""
    at = int((len(content) - 8) * chance.random() ** 3)
    return content[:at] + struct.pack("<Q", chance.choice((1 << 20, 1 << 40, (1 << 64) - 1))) + content[at + 8 :]


def replace_value(chance: random.Random, content: bytes) -> bytes:
    """Replace a value of a JSON text, or of the header of a safetensors file, by one of another kind."""
    is_tensors = content[8:9] == b"{"
    length = struct.unpack("<Q", content[:8])[0] if is_tensors else 0
    text = content[8 : 8 + length] if is_tensors else content
    table = json.loads(text)
    changed = json.dumps(replace_at(table, chance.choice(iter_paths(table)), chance.choice(ODD))).encode()
    return struct.pack("<Q", len(changed)) + changed + content[8 + length :] if is_tensors else changed


def list_mutations(path: Path) -> list[Mutation]:
    is_json = path.suffix in (".json", ".safetensors")
    return [flip_bytes, cut, grow_number, *([replace_value] * 5 if is_json else [])]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[Path]]:
    """A workspace with the base of the adapter; a folder, a GGUF file and an adapter."""
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    workspace = Workspace(tmp_path / "workspace")
    create_own(workspace)
    tune(workspace, "own", "tuned")
    paths = [tmp_path / "source" / name for name in ("folder", "x.gguf", "adapter")]
    for ref, path, to in zip(("own", "own", "tuned"), paths, ("hf", "gguf", "peft"), strict=True):
        assert run(["export", ref, str(path), "--to", to]) == 0
    return workspace, paths


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, about weights that are not numbers
@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_source_is_imported_or_refused(
    seed: int, sources: tuple[Workspace, list[Path]], tmp_path: Path
) -> None:
    workspace, originals = sources
    chance = random.Random(seed)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, int] = {}
    for number in range(NUM_MUTATIONS // 3):
        original = chance.choice(originals)
        source = tmp_path / "mutated" / f"{number}{original.suffix}"
        source.parent.mkdir(exist_ok=True)
        shutil.copytree(original, source) if original.is_dir() else shutil.copyfile(original, source)
        path = chance.choice([p for p in source.iterdir() if p.name != "README.md"]) if source.is_dir() else source
        mutation = chance.choice(list_mutations(path))
        path.write_bytes(mutation(chance, path.read_bytes()))
        change = (seed, number, path.name, str(mutation))
        start = time.process_time()
        try:
            import_model(workspace, str(source), "mutated", lambda done, what: None)
            code, message = "imported", ""
        except GenloomError as error:
            code, message = str(error.fields.get("cause") or error.code), str(error)
        except BaseException as error:
            raise AssertionError(f"{change}: {type(error).__name__}") from error
        outcomes[code] = outcomes.get(code, 0) + 1
        assert len(message) < 6000, change
        assert time.process_time() - start < MAX_SECONDS, change
        shutil.rmtree(workspace.root / "models" / "mutated", ignore_errors=True)
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) < MAX_BYTES
    assert not workspace.list_leftovers()
    assert len(outcomes) > 10, outcomes
    assert outcomes["imported"] < NUM_MUTATIONS // 6, "most changes are noticed"
