"""The description of the API is complete, and no request made from it, right or wrong, is a fault of ours."""

import warnings
from collections import Counter
from contextlib import suppress
from typing import Any
from unittest import SkipTest

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.server.openai.conftest import RunningServer, api  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow


def test_the_description_names_every_route(api: RunningServer) -> None:  # noqa: F811
    with api.open() as client:
        paths = client.get("/openapi.json").json()["paths"]
    known = {entry.path.replace("{id:path}", "{id}") for entry in api.app.routes.entries}
    assert set(paths) <= known
    assert len(paths) > 50


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_is_a_fault_of_ours(api: RunningServer, mode: str) -> None:  # noqa: F811
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis
        from schemathesis import GenerationMode
        from schemathesis.core.result import Ok

        schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
        faults: list[str] = []
        statuses: Counter[int] = Counter()
        headers = {"authorization": f"Bearer {api.key}"}
        with api.open() as client:
            assert client.post("/api/queue", json={"paused": True}).status_code == 200
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            if operation.path in (
                "/api/events",
                "/api/queue",
                "/api/login",
                "/api/logout",
            ) or operation.path.startswith("/mcp"):
                continue  # channels have no end; the queue stays paused

            @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
            @settings(
                max_examples=15,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            def call(case: Any) -> None:
                response = case.call(headers=headers, timeout=600)
                statuses[response.status_code] += 1
                if response.status_code >= 500 and response.json()["error"]["code"] == "internal_error":
                    request = f"{case.method} {case.path} {case.query} {str(case.body)[:300]}"
                    faults.append(f"{request}: {response.text[:200]}")

            with suppress(Unsatisfiable, SkipTest):  # a shape without wrong values
                call()
        with api.open() as client:
            client.post("/api/queue", json={"paused": False})
    assert not faults, "\n".join(faults[:20])
    assert statuses[200] > 20
    assert statuses[400] > 100
    assert not statuses[401] + statuses[403] + statuses[429], "a request was refused before it was looked at"
