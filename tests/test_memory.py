"""Memory budgets: the counts of small items as before, and fewer of large ones."""

import platform
from types import SimpleNamespace

import psutil
import pytest

from genloom.generate import engine
from genloom.memory import Memory, count_rows_within, count_sample_bytes, give_back_memory, measure_memory, split_items
from genloom.model import likelihood
from genloom.train.data import samples
from genloom.types import Item, SignalSpace, TokenSpace

IMAGE, LARGE_IMAGE, VIDEO = SignalSpace(3, (64, 64)), SignalSpace(3, (256, 256)), SignalSpace(3, (64, 128, 128))


@pytest.mark.parametrize(
    ("size", "budget", "most", "rows"), [(10, 100, 50, 10), (1, 100, 50, 50), (200, 100, 50, 1), (0, 9, 5, 5)]
)
def test_rows_within_a_budget(size, budget, most, rows):
    assert count_rows_within(size, budget, most) == rows


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, (16, 12)),
        (
            "0::/a\n",
            {"a/memory.max": "8", "a/memory.current": "5", "a/memory.stat": "anon 4\ninactive_file 1\n"},
            (8, 4),
        ),
        ("0::/a\n", {"memory.max": "8", "memory.current": "9", "memory.stat": ""}, (8, 0)),  # of the group above
        ("0::/a\n", {"a/memory.max": "max", "a/memory.current": "5", "a/memory.stat": ""}, (16, 12)),
        (
            "4:memory:/a\n2:cpu:/b\n",
            {
                "memory/a/memory.limit_in_bytes": "10",
                "memory/a/memory.usage_in_bytes": "3",
                "memory/a/memory.stat": "cache 2\n",
            },
            (10, 7),
        ),
    ],
)
def test_the_memory_is_that_of_the_container(monkeypatch, tmp_path, groups, files, expected):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=16, available=12))
    for name, content in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{n}": c for n, c in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert measure_memory(tmp_path) == Memory(*expected)


def test_the_memory_is_at_most_the_limit_of_the_process(monkeypatch):
    resource = pytest.importorskip("resource")
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + 1000, used + 1000))
    memory = measure_memory()
    assert memory.total <= used + 1000
    assert memory.available <= 1000


def test_bytes_of_a_sample():
    assert count_sample_bytes(IMAGE) == 4 * 3 * 64 * 64
    assert count_sample_bytes(TokenSpace(9, 17, grid=(4, 4))) == 8 * 17
    assert count_sample_bytes(TokenSpace(9, 1000)) == 0  # sequences of any length


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (engine.MAX_BATCH_BYTES, engine.MAX_BATCH_SIZE),
        (likelihood.BATCH_BYTES, likelihood.BATCH_SIZE),
        (samples.ENCODE_BYTES, samples.ENCODE_BATCH_SIZE),
        (samples.HELD_OUT_BYTES, 1024),
    ],
)
def test_budgets_limit_videos_but_not_images(budget, most):
    assert count_rows_within(count_sample_bytes(IMAGE), budget, most) == most
    assert count_rows_within(count_sample_bytes(LARGE_IMAGE), budget, most) == most
    assert count_rows_within(count_sample_bytes(VIDEO), budget, most) < most


def test_items_are_split_by_their_bytes():
    items = [Item(n, meta={"bytes": size}) for n, size in enumerate((60, 60, 1, 1, 1, 200))] + [Item(6)]
    batches = split_items(items, budget=100, most=3)
    assert [[item.value for item in batch] for batch in batches] == [[0, 1], [2, 3, 4], [5], [6]]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps less")
def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    pieces = [bytearray(50_000) for _ in range(4000)]  # of a size that the C library keeps
    last = bytearray(50_000)
    before = psutil.Process().memory_info().rss
    del pieces
    give_back_memory()
    assert psutil.Process().memory_info().rss < before - 100_000_000
    assert len(last) == 50_000
