"""The index of outputs with a hundred thousand of them."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.server.index import OutputIndex
from genloom.server.index_rows import insert_row
from genloom.store.names import make_timed_id

COUNT = 100_000
WORDS = "boat sea tree house red green old small light storm night garden bird stone river".split()  # noqa: SIM905
QUERIES = (
    "",
    "limit=200",
    "q=boat",
    "q=boat+storm+nig",
    "q=zebra",
    "medium=image&model=icons",
    "model=icons/2&q=river",
    "rating=up",
    "rating=none&q=old",
    "tag=blue",
    "seed=4711",
    "after=2026-02-01&before=2026-03-01",
    "offset=50000",
    "offset=99900&limit=100",
)


def test_models_count_the_outputs_that_the_gallery_shows(open_studio: Callable[..., Any]) -> None:
    with open_studio() as (studio, _):
        jobs = studio.guard.app.state.jobs
        with jobs.index._database.transaction() as connection:
            for number, learn in enumerate(["", "", "2026-11-30-round"]):  # the last was made to measure a version
                id = f"2026-11-30-{number:06d}"
                record: dict[str, Any] = {"id": id, "file": f"{id}.png"}
                record |= {"created": "2026-11-30T12:00:00+00:00", "model": "icons/1"}
                record |= {"medium": "image", "prompt": "a fox", "row": 0, "learn": learn}
                record |= {"request": {"nonces": [number]}}
                insert_row(connection, record, id[:10], 1000)
        assert jobs.index.count_by_model() == {"icons/1": 2}
        assert jobs.index.count_facets("")["name"] == {"icons": 2}


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand_outputs_takes_milliseconds(open_studio: Callable[..., Any]) -> None:
    from datetime import UTC, datetime, timedelta

    rng, start = random.Random(0), datetime(2026, 1, 1, tzinfo=UTC)
    with open_studio() as (studio, client):
        jobs = studio.guard.app.state.jobs
        first = studio.run(client, "generate", model="icons", prompt="the first")["outputs"][0]
        client.post(f"/api/outputs/{first}/rating", json={"up": True})
        with jobs.index._database.transaction() as connection:
            for number in range(COUNT):
                moment = start + timedelta(minutes=4 * number)
                id = make_timed_id(moment)
                record = {
                    "id": id,
                    "file": f"{id}.png",
                    "created": moment.isoformat(),
                    "model": f"icons/{1 + number % 2}",
                    "medium": "image",
                    "prompt": " ".join(rng.choices(WORDS, k=8)),
                    "row": 0,
                    "request": {"nonces": [number]},
                }
                insert_row(connection, record, id[:10], 1000)
        for number in range(200):
            jobs.marks.change(make_timed_id(start + timedelta(minutes=4 * number)), tags=["blue"])
        slow = {}
        for query in QUERIES:
            seconds = []
            for _ in range(5):
                began = time.process_time()
                answer = client.get(f"/api/outputs?{query}")
                seconds.append(time.process_time() - began)
                assert answer.status_code == 200, answer.text
            print(f"{min(seconds) * 1000:6.1f} ms  {answer.json()['total']!s:>7}  {query}")
            if min(seconds) > 0.05:
                slow[query] = min(seconds)
        assert slow == {}


def test_the_first_page_waits_until_the_outputs_are_read(tmp_path: Path) -> None:
    index = OutputIndex(Workspace(tmp_path))
    index.open()
    index._syncing.acquire()  # another page came first
    threading.Timer(0.2, index._syncing.release).start()
    index.sync(waits=False)
    assert index._is_read
    index._syncing.acquire()
    index.sync(waits=False)  # from now on nobody waits
    index._syncing.release()
    index.close()
