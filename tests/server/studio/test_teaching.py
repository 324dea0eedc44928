"""Arena and Teach: blind pairs made ahead, durable choices, skip and undo, and what is missing to learn."""

from collections.abc import Callable
from typing import Any

from genloom.rate.report import receipt as receipts
from genloom.store.ledger import open_ledger
from tests.rate.test_receipt import make_receipt

Open = Callable[..., Any]


def get_arena(client: Any, count: int = 3) -> dict[str, Any]:
    answer = client.get(f"/api/arena/icons?count={count}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def choose(client: Any, pair: str, winner: str) -> Any:
    return client.post("/api/arena/icons/choices", json={"pair": pair, "winner": winner})


def list_choices(studio: Any) -> list[Any]:
    return list(open_ledger(studio.workspace.folder).iter_entries(["choice"]))


def test_a_session_is_chosen_through_with_skip_and_undo(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        assert len(set(get_arena(client)["suggested_prompts"])) >= 20, "a built-in model has examples"
        assert choose(client, "x", "a").json()["error"]["code"] == "studio.no_session"
        prompts = [f"picture {number}" for number in range(5)]
        result = studio.run(client, "arena", model="icons", prompts=prompts)
        assert result["pairs"] == 5
        arena = get_arena(client, 5)
        assert (len(arena["pairs"]), arena["answered"], arena["total"]) == (5, 0, 5)
        assert arena["missing"] > 0
        first, second, third, *_ = arena["pairs"]
        text = str(arena)
        for output in client.get("/api/outputs").json()["data"]:  # nothing tells which is which
            assert output["id"] not in text
        assert "icons/2" not in text
        picture = client.get(first["a"]["url"])
        assert picture.headers["content-type"] == "image/png"
        assert not {"etag", "last-modified"} & {name.lower() for name in picture.headers}
        assert client.get(first["b"]["thumbnail"]).headers["content-type"] == "image/webp"
        assert client.get(f"/api/arena/icons/pairs/{first['id']}/a/sound").status_code == 404

        chosen = choose(client, first["id"], "a").json()
        assert chosen["reveal"] == {"a": "icons/2", "b": "icons/2"}
        assert choose(client, first["id"], "a").json()["event"] == chosen["event"]  # sent twice: recorded once
        assert choose(client, first["id"], "b").status_code == 409
        assert choose(client, second["id"], "skip").json()["reveal"] is None
        assert next(pair["id"] for pair in get_arena(client)["pairs"]) == third["id"]
        (entry,) = list_choices(studio)
        assert (entry.body["winner"], entry.body["rater"], entry.body["machine"]) == ("a", "ada", False)

        undone = client.post("/api/arena/icons/undo").json()
        assert (undone["pair"]["id"], undone["answered"]) == (second["id"], 1)
        undone = client.post("/api/arena/icons/undo").json()
        assert (undone["pair"]["id"], undone["answered"]) == (first["id"], 0)
        assert client.post("/api/arena/icons/undo").json()["pair"] is None
        again = choose(client, first["id"], "b").json()
        assert again["event"] != chosen["event"]
        assert client.get("/api/teach/icons").json()["ratings"]["pairs"] == 1
        assert len(list_choices(studio)) == 2
        for number, winner in ((1, "tie"), (2, "bad"), (3, "b"), (4, "a")):
            assert choose(client, arena["pairs"][number]["id"], winner).status_code == 200
        assert get_arena(client)["pairs"] == []
        # After a restart the session is as it was.
    with open_studio(folder=studio.workspace.folder) as (studio, client):
        arena = get_arena(client)
        assert (arena["answered"], arena["can_undo"], arena["pairs"]) == (5, True, [])
        assert client.post("/api/arena/icons/undo").json()["pair"]["id"] is not None


def test_a_choice_that_never_reached_the_ledger_is_open_again(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        studio.run(client, "arena", model="icons", prompts=["x"])
        (pair,) = get_arena(client)["pairs"]
        jobs = studio.guard.app.state.jobs
        session = next(iter(jobs.store.find(kinds=["arena"]))).result["session"]
        jobs.marks.add_act("local", session, pair["id"], "lost")  # as kill -9 between two writes leaves it
        assert [each["id"] for each in get_arena(client)["pairs"]] == [pair["id"]]
        assert choose(client, pair["id"], "a").status_code == 200


def test_pairs_of_two_versions_hide_which_is_which_and_each_rater_has_a_session(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        bea = studio.sign_in("bea")
        studio.run(client, "arena", model="icons", prompts=["x", "y"], count=2)
        assert bea.get("/api/arena/icons").json()["total"] == 0
        pair = get_arena(client)["pairs"][0]
        assert choose(bea, pair["id"], "a").status_code == 404
        assert bea.get(pair["a"]["url"]).status_code == 404
        assert get_arena(client)["total"] == 4
        rater = studio.sign_in("cy", ["read", "rate"])
        assert rater.post("/api/jobs", json={"kind": "arena", "params": {"model": "icons"}}).status_code == 202
        assert rater.post("/api/jobs", json={"kind": "generate", "params": {"model": "icons"}}).status_code == 403


def test_teach_says_what_is_there_and_what_is_missing(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        outputs = studio.run(client, "generate", model="icons", prompt="a boat", n=3)["outputs"]
        for output, is_up in zip(outputs, (True, False, True), strict=True):
            client.post(f"/api/outputs/{output}/rating", json={"up": is_up})
        teach = client.get("/api/teach/icons").json()
        assert (teach["active"], teach["previous"], teach["is_enough"]) == ("icons/2", None, False)
        assert teach["shortfall"]
        counts = teach["ratings"]
        assert counts["total"] == counts["since_last_round"] == 3
        assert counts["by_rater"] == [{"name": "ada", "count": 3, "is_machine": False}]
        assert counts["missing"] > 20
        assert (counts["min_train"], counts["min_held_out"]) == (33, 11)
        refused = client.post("/api/jobs", json={"kind": "learn", "params": {"model": "nothing"}})
        assert refused.status_code == 404
        assert client.get("/api/receipts").json()["data"] == []
        assert client.get("/api/receipts/0123").status_code == 404


def test_a_receipt_shows_people_the_prompts_that_are_theirs(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        studio.run(bea, "generate", model="icons", prompt="the secret of bea")
        examples = tuple(receipts.Example(each, "x", "y") for each in ("the secret of bea", "the secret of cy"))
        receipt = make_receipt(model="icons", champion="icons/1", challenger="icons/2", examples=examples)
        run, digest = studio.workspace.store.create_run("icons"), receipts.compute_digest(receipt)
        (run / "receipt.json").write_bytes(receipts.to_json(receipt))
        body = {"model": "icons", "champion": "icons/1", "challenger": "icons/2", "digest": "", "used": []}
        studio.workspace.ledger.append("round", {**body, "promote": True, "receipt": digest, "run": run.name})
        for person, own, hidden in ((client, "bea cy", 0), (bea, "bea", 1), (cy, "", 2)):
            found = person.get(f"/api/receipts/{digest}")
            assert found.json()["hidden_examples"] == hidden
            assert found.json()["receipt"]["champion"] == "icons/1"
            page = person.get(f"/api/receipts/{digest}/html").text
            for name in ("bea", "cy"):
                is_shown = name in own.split()
                assert (f"the secret of {name}" in found.text) is is_shown
                assert (f"the secret of {name}" in page) is is_shown
