"""A file that crashes the process reading it, or exceeds one of its limits, costs one note."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from genloom import limited_process
from genloom.collect import collect, workers
from genloom.collect.options import Report
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents
from genloom.limited_process import LimitedProcess, LimitExceeded, Limits
from genloom.store.workspace import Workspace
from tests.media.test_text import pdf_bytes
from tests.tools import build_pdf

STORY = "The story of {0}, as it was told by {0} on a winter's night."


def collect_folder(folder: Path, num_workers: int) -> Report:
    workspace = Workspace(folder.parent / f"workspace-{num_workers}")
    *_, last = collect([folder], workspace, "notes", {"workers": num_workers})
    assert last.report is not None
    return last.report


def crashing(job: PrepareJob, *_: Any) -> PreparedBatch:
    """Stand in for a library that crashes on a hostile file."""
    if any(file.path.name == "deadly.txt" for file in job.files):
        os._exit(139)
    return prepare_documents(job)


def test_a_crash_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("a", "b", "deadly", "z"):
        (folder / f"{name}.txt").write_text(STORY.format(name))
    monkeypatch.setattr(workers, "prepare_watched", crashing)
    monkeypatch.setattr(LimitedProcess, "call", call_in_pool)
    report = collect_folder(folder, 2)
    assert report.documents_kept == 3
    assert [(note.source, note.is_skipped) for note in report.notes] == [("notes/deadly.txt", True)]
    assert report.notes[0].code == "collect.reader_crashed"


def call_in_pool(self: LimitedProcess, _: Any, job: PrepareJob) -> PreparedBatch:
    """Run the stand-in above, which a process of its own would not know."""
    with workers._create_pool(1) as pool:
        try:
            return pool.submit(crashing, job).result()
        except workers.BrokenProcessPool as error:
            raise LimitExceeded(is_time=False) from error


def nested_forms_pdf(depth: int = 20, width: int = 20) -> bytes:
    """A PDF of about 2 kB whose form objects draw each other, width ** depth times in all."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /F 6 0 R >> >> >>",
        "<< /Length 5 >>\nstream\n/F Do\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for level in range(depth):
        content = "/F Do " * width if level + 1 < depth else "BT /F1 12 Tf (x) Tj ET"
        objects.append(
            f"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Length {len(content)} /Resources << /XObject "
            f"<< /F {level + 7} 0 R >> /Font << /F1 5 0 R >> >> >>\nstream\n{content}\nendstream"
        )
    return build_pdf(objects)


@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_limit_costs_one_file(num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nested forms took 19 GB, and the process of the whole collection with them."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf_bytes(STORY.format("a")))
    (folder / "b.pdf").write_bytes(nested_forms_pdf())
    (folder / "c.txt").write_text(STORY.format("c"))
    monkeypatch.setattr(limited_process, "limits", Limits(8, 0, 1 << 30))
    report = collect_folder(folder, num_workers)
    assert report.documents_kept == 2
    (note,) = report.notes
    assert (note.source, note.is_skipped) == ("notes/b.pdf", True)
    assert note.code in ("collect.time_limit", "collect.reader_crashed", "collect.memory_limit")


@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_time_limit_is_named(num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text(STORY.format("a"))
    (folder / "slow.html").write_text("<a " * 66_000)
    monkeypatch.setattr(limited_process, "limits", Limits(0.01, 0))
    before = time.monotonic()
    report = collect_folder(folder, num_workers)
    assert time.monotonic() - before < 300
    assert [(note.source, note.code) for note in report.notes] == [("notes/slow.html", "collect.time_limit")]


def test_the_result_does_not_depend_on_the_processes(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.{'pdf' if n % 2 else 'txt'}").write_bytes(
            pdf_bytes(STORY.format(n)) if n % 2 else STORY.format(n).encode()
        )
    assert collect_folder(folder, 1).digest == collect_folder(folder, 2).digest


def test_a_script_without_a_main_guard_can_collect(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes(STORY.format("a")))
    script = tmp_path / "script.py"
    script.write_text(
        "from genloom.collect import collect\nfrom genloom.store.workspace import Workspace\nfrom pathlib import Path\n"
        "print('begins', flush=True)\n"
        "for workers in (1, 2):\n"
        f"    options, workspace = {{'workers': workers}}, Workspace(Path({str(tmp_path / 'w')!r}))\n"
        f"    *_, last = collect([{str(tmp_path / 'a.pdf')!r}], workspace, 'x', options)\n"
        "    print(last.report.documents_kept)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ended.stdout, ended.returncode) == ("begins\n1\n1\n", 0), ended.stderr
    assert not ended.stderr


def test_number_of_processes() -> None:
    assert workers.choose_num_workers(3, 0) == 3
    assert workers.choose_num_workers(0, 1000) == 1
    assert 1 <= workers.choose_num_workers(0, 1 << 30) <= (os.cpu_count() or 1)


START_WORKER = """
import multiprocessing, sys, time
from genloom.limited_process import Limits, limit_process

def work(connection):
    limit_process(Limits(), "command")
    connection.send(multiprocessing.current_process().pid)
    time.sleep(600)

if __name__ == "__main__":
    reader, writer = multiprocessing.Pipe(duplex=False)
    multiprocessing.get_context("spawn").Process(target=work, args=(writer,)).start()
    print(reader.recv(), flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "start.py").write_text(START_WORKER)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "start.py")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([worker], timeout=120)
    assert not alive
