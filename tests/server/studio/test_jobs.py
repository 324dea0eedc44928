"""`/api/jobs`, `/api/queue` and `/api/events`: the same for every device, and each user's own."""

import json
from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]
WAIT = {"kind": "generate", "params": {"model": "icons", "prompt": "wait"}}


def test_two_devices_see_the_same_queue_and_either_changes_it(open_studio: Open) -> None:
    with open_studio() as (studio, desk):
        phone = studio.sign_in()
        desk.post("/api/queue", json={"paused": True})
        ids = [desk.post("/api/jobs", json=WAIT).json()["id"] for _ in range(3)]
        for client in (desk, phone):
            assert [job["id"] for job in client.get("/api/jobs").json()["data"]] == ids
            assert client.get("/api/queue").json() == {"paused": True, "running": 0, "queued": 3}
        assert phone.post(f"/api/jobs/{ids[2]}/move", json={"before": ids[0]}).json()["position"] == 1
        phone.post(f"/api/jobs/{ids[1]}/cancel")
        listed = desk.get("/api/jobs").json()["data"]
        assert [(job["id"], job["state"]) for job in listed] == [
            (ids[2], "queued"),
            (ids[0], "queued"),
            (ids[1], "cancelled"),
        ]
        desk.post("/api/queue", json={"paused": False})
        for id in (ids[2], ids[0]):
            phone.post(f"/api/jobs/{id}/cancel")
            assert studio.wait(desk, id)["state"] == "cancelled"
        assert desk.get("/api/jobs?state=queued,running").json()["data"] == []
        assert len(desk.get("/api/jobs?kind=train,generate&limit=2").json()["data"]) == 2
        assert desk.get("/api/jobs?kind=train").json()["data"] == []
        events = desk.get("/api/events?after=0", headers={"accept": "application/json"}).json()["data"]
        assert [event["type"] for event in events][:4] == ["queue.changed", "job.queued", "job.queued", "job.queued"]
        numbers = [event["id"] for event in events]
        assert numbers == sorted(set(numbers))
        assert events[1]["data"]["job"]["id"] == ids[0]


def test_events_are_sent_as_a_stream_that_continues_after_a_break(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        studio.run(client, "generate", model="icons", prompt="abc")
        types: list[str] = []
        seen = 0
        with client.stream("GET", "/api/events", headers={"last-event-id": "0"}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    types.append(line.removeprefix("event: "))
                if line.startswith("data: ") and types[-1] != "hello":
                    seen = json.loads(line.removeprefix("data: "))["id"]
                if types and types[-1] == "output.created":
                    break
        assert types[:3] == ["hello", "job.queued", "job.running"]
        rest = client.get(f"/api/events?after={seen}", headers={"accept": "application/json"}).json()["data"]
        assert rest[-1]["type"] == "job.succeeded"
        assert rest[0]["id"] > seen


def test_a_job_of_another_user_does_not_exist(open_studio: Open) -> None:
    with open_studio() as (studio, local):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        local.post("/api/queue", json={"paused": True})
        id = bea.post("/api/jobs", json=WAIT).json()["id"]
        for method, path in (
            ("GET", ""),
            ("GET", "/log"),
            ("GET", "/download"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
        ):
            assert cy.request(method, f"/api/jobs/{id}{path}").status_code == 404, path
        own = cy.post("/api/jobs", json=WAIT).json()["id"]
        assert cy.post(f"/api/jobs/{own}/move", json={"before": id}).status_code == 404
        assert [job["id"] for job in cy.get("/api/jobs").json()["data"]] == [own]
        assert len(local.get("/api/jobs").json()["data"]) == 2
        own_events = cy.get("/api/events?after=0", headers={"accept": "application/json"}).text
        assert id not in own_events


def test_errors_name_the_field_and_nothing_is_queued(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        for body, param in (
            ({"kind": "paint"}, "kind"),
            ({"kind": "generate", "params": {"model": "icons", "n": -1}}, "params.n"),
            ({"kind": "generate", "params": {"model": "icons", "seed": 2**70}}, "params.seed"),
            ({"kind": "generate", "params": {"model": "x", "files": {"image": "/etc/passwd"}}}, "params.files.image"),
            ({"kind": "chat", "params": {}}, "kind"),
        ):
            answer = client.post("/api/jobs", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
        assert client.post("/api/jobs/x/retry").status_code == 404
        assert client.get("/api/queue").json()["queued"] == 0
        output = studio.run(client, "generate", model="icons", prompt="abc")["outputs"][0]
        again = client.get(f"/api/outputs/{output}").json()["again"]
        assert client.post("/api/jobs", json={"kind": "generate", "params": again}).status_code == 202
