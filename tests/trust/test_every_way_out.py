"""Every way an output leaves Genloom carries a signature: the places are searched for, so that a new one is seen here.

Three searches: the routes of the server, the calls in the code that write a file or build an answer with bytes, and
the public methods of outputs. Each place found is either signed, which the other tests here and in tests/cli and
tests/server show, or holds no output.
"""

import ast
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom import plugins
from genloom.generate.marking import can_carry_mark
from genloom.media import image, text
from genloom.trust import manifests, signing
from genloom.types import Item

ROOT = Path(__file__).parents[2]
OTHER_ROUTES = {"/api/outputs/{id}/trace": "a page about where an output comes from"}
SIGNED_ROUTES = {
    "/api/outputs/{id}/file",
    "/api/outputs/{id}/manifest",
    "/api/outputs/{id}/shown",
    "/api/outputs/{id}/thumbnail",
    "/api/outputs/{id}/sound",
    "/api/arena/{model}/pairs/{pair}/{side}/{view}",  # without the name of the model, which the rater must not see
    "/v1/outputs/{id}/content",
    "/v1/outputs/{id}/manifest",
}
# Answers with bytes that hold no output, or texts of outputs in a document of another kind.
OTHER_PLACES = {
    "genloom/server/openai/files.py": "files that clients uploaded",
    "genloom/server/studio/datasets.py": "documents of a data set",
    "genloom/server/studio/conversations.py": "conversations; the manifest of each answer is at its id",
    "genloom/server/studio/teach.py": "a receipt about a model",
    "genloom/server/studio/models.py": "charts about a model",
    "genloom/server/studio/provenance.py": "pages about where outputs, models and data sets come from",
    "genloom/server/studio/archives.py": "ratings as a data set; the manifest of each output is at its id",
    "genloom/server/studio/trust.py": "a certificate",
    "genloom/server/studio/designs.py": "files that a job signed as it wrote them",
    "genloom/server/worker/speech_questions.py": "speech as it is made, with its mark; the manifest is at its id",
    "genloom/server/worker/design.py": "a picture of goals, before there is a design",
    "genloom/server/studio/jobs.py": "exported weights with a signed card",
    "genloom/server/openai/embeddings.py": "numbers of a text that the client sent",
    "genloom/server/oidc.py": "the secret of this server, for the login of another",
    "genloom/server/engine/messages.py": "messages between our own processes",
    "genloom/server/jobs/generations.py": "a draft that is not an output yet, for the page that waits for it",
}
SIGNED_PLACES = {
    "genloom/server/studio/output_files.py",
    "genloom/server/studio/arena.py",
    "genloom/server/openai/outputs.py",
    "genloom/server/openai/images.py",
    "genloom/server/others/mcp.py",
    "genloom/server/signed_files.py",
}
# Modules outside the server that write a file.
WRITING_PARTS = ("genloom/api", "genloom/cli", "genloom/trust", "genloom/assistant")
WRITERS = {"write_atomic", "write_bytes", "write_text", "write_file", "writelines", "save_file", "savez"}
WRITERS |= {"copy2", "copyfile", "copyfileobj", "copytree", "hardlink_to"}
SIGNED_WRITERS = {"genloom/trust/outgoing.py", "genloom/trust/manifests.py"}
OTHER_WRITERS = {
    "genloom/api/design.py": "the goals that a person gave, for the model",
    "genloom/cli/__init__.py": "the log of an error of ours",
    "genloom/cli/commands/train.py": "nowhere: a terminal that was closed",
    "genloom/cli/item_list.py": "standard output",
    "genloom/trust/canaries.py": "a data set with invented secrets, in the workspace",
    "genloom/trust/policy.py": "rules for content",
    "genloom/trust/span_index.py": "passages of training items, in the cache",
    "genloom/api/evaluations.py": "charts and reports about a model",
    "genloom/assistant/tasks/classifiers.py": "weights and the card of a classifier",
    "genloom/assistant/tasks/tables.py": "the texts of a person with labels, which no generator wrote",
    "genloom/api/cards.py": "a card about a model or data set",
    "genloom/api/keys.py": "keys",
    "genloom/api/receipts.py": "a receipt about a model",
    "genloom/api/tracing.py": "a page about where something comes from",
    "genloom/api/attribute_bias.py": "a report about a model",
    "genloom/api/embedding.py": "numbers of texts that the user named",
    "genloom/api/prompts.py": "templates of prompts",
    "genloom/assistant/memory.py": "what a user had remembered, in the workspace",
    "genloom/assistant/prompts/library.py": "templates of prompts",
    "genloom/trust/bias.py": "a report about a model",
    "genloom/trust/privacy.py": "a report about a model",
    "genloom/trust/shared_features.py": "features of training items, in the cache",
    "genloom/trust/audio/__init__.py": "what held-out sounds share with training sounds, in the cache",
    "genloom/trust/molecule/similarity_index.py": "fingerprints of training items, in the cache",
    "genloom/trust/signing.py": "keys",
    "genloom/trust/revocation.py": "revoked keys",
}

# Modules that run a sampler: with requests that are marked there or where they are built, or to measure a model.
MARKING_PLACES = {
    "genloom/api/answering.py",
    "genloom/api/arena.py",
    "genloom/api/chat.py",
    "genloom/api/generation.py",
    "genloom/learn/eval_prompts.py",
}
MARKED_BEFORE = {
    "genloom/server/engine/choosing.py": "genloom/server/engine/building.py",
    "genloom/server/engine/tasks.py": "genloom/server/engine/building.py",
}
MEASURING_PLACES = {
    "genloom/api/attribute_bias.py": "pictures whose attributes are counted",
    "genloom/api/bias.py": "continuations whose words are counted",
    "genloom/evaluate/sampling.py": "samples that are compared with data",
    "genloom/evaluate/text/answers.py": "answers that are scored",
    "genloom/evaluate/text/battery/run.py": "answers that are scored",
    "genloom/learn/safeguards/text.py": "texts by which two versions are compared",
}


def find_callers(names: set[str], *folders: str) -> dict[str, set[str]]:
    """The functions of these names that each module calls, also as a method."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in names:
                    found.setdefault(str(path.relative_to(ROOT)), set()).add(name)
    return found


def test_every_answer_with_bytes_is_known() -> None:
    calls = {"build_file_response", "FileResponse", "b64encode"}
    found = find_callers(calls, "genloom/server").keys() - {"genloom/server/files.py"}
    assert found <= SIGNED_PLACES | OTHER_PLACES.keys(), "sign what leaves here, or say why it holds no output"
    assert OTHER_PLACES.keys() <= found


def test_every_answer_about_outputs_is_signed() -> None:
    signers = {"sign_path", "sign_stored", "sign_blind"}
    for place in SIGNED_PLACES:
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names & signers or place == "genloom/server/signed_files.py", place


def test_every_route_with_the_bytes_of_an_output_is_known() -> None:
    """A route below an output that answers with a file, and not with JSON, is one of those that sign."""
    from fastapi.routing import iter_route_contexts
    from starlette.responses import Response

    from genloom.server.openai import build_router as build_openai
    from genloom.server.studio import build_router as build_studio

    found = set()
    for router in (build_openai(), build_studio()):
        for context in iter_route_contexts(router.routes):
            annotation = getattr(context.endpoint, "__annotations__", {}).get("return")
            is_file = isinstance(annotation, type) and issubclass(annotation, Response)
            path = context.path or ""
            if is_file and "GET" in (context.methods or ()) and ("outputs" in path or "pairs" in path):
                found.add(path)
    assert found == SIGNED_ROUTES | OTHER_ROUTES.keys()


def opens_for_writing(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", getattr(node.func, "id", "")) != "open":
        return False
    texts = [
        each.value for each in (*node.args, *(word.value for word in node.keywords)) if isinstance(each, ast.Constant)
    ]
    return any(isinstance(text, str) and set(text) <= set("rwxabt+") and set(text) & set("wxa+") for text in texts)


def test_every_writer_of_a_file_is_known() -> None:
    found = set(find_callers(WRITERS, *WRITING_PARTS))
    for path in (path for folder in WRITING_PARTS for path in (ROOT / folder).rglob("*.py")):
        if any(map(opens_for_writing, ast.walk(ast.parse(path.read_text(encoding="utf-8"))))):
            found |= {str(path.relative_to(ROOT))}
    assert found <= SIGNED_WRITERS | OTHER_WRITERS.keys(), "sign what is written, or say why it is no output"


def test_every_medium_writes_where_the_file_is_signed() -> None:
    """`medium.save` writes without a signature: it is called on a file in a folder of its own."""
    calls = [
        (str(path.relative_to(ROOT)), node)
        for path in sorted((ROOT / "genloom").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "save"
        and getattr(node.func.value, "attr", getattr(node.func.value, "id", "")) == "medium"
    ]
    assert {place for place, _ in calls} == {"genloom/media/saving.py", "genloom/testing/media.py"}


def test_every_place_that_generates_marks_what_it_stores() -> None:
    calls = find_callers({"generate", "run_request", "mark_request"}, "genloom")
    engine_users = {
        place
        for place in calls
        if any(
            isinstance(node, ast.Attribute)
            and node.attr in ("generate", "run_request")
            and isinstance(node.value, ast.Name)
            and node.value.id == "engine"
            for node in ast.walk(ast.parse((ROOT / place).read_text(encoding="utf-8")))
        )
    }
    assert engine_users <= MARKING_PLACES | MARKED_BEFORE.keys() | MEASURING_PLACES.keys(), "mark it"
    for place in MARKING_PLACES | set(MARKED_BEFORE.values()):
        assert "mark_request" in calls[place], place


@pytest.fixture
def ws(tmp_path: Path) -> gl.Workspace:
    return gl.Workspace(tmp_path / "home")


def store(ws: gl.Workspace, kind: str) -> gl.Output:
    if kind == "text":
        record = {"medium": "text", "model": "tales/1", "prompt": "Once", "written": "Once upon"}
        return ws.output(ws.store.save_output(text.encode("Once upon"), ".txt", record))
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    record = {"medium": "image", "model": "tiles/1", "prompt": "a tile"}
    return ws.output(ws.store.save_output(image.encode(pixels), ".png", record))


def is_signed(ws: gl.Workspace, path: Path) -> bool:
    manifest = manifests.read_manifest(path, signing.read_anchors(ws.folder))
    return manifest is not None and manifest.state == "unchanged" and manifest.authority == "workspace"


@pytest.mark.parametrize("suffix", image.save_suffixes)
def test_a_picture_is_saved_with_its_signature_in_every_format(ws: gl.Workspace, tmp_path: Path, suffix: str) -> None:
    assert is_signed(ws, store(ws, "image").save(tmp_path / f"picture{suffix}"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".svg"])
def test_a_file_is_not_there_before_it_is_signed(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A program that ends while it signs leaves no file without a signature."""
    output, path = store(ws, "image"), tmp_path / f"picture{suffix}"

    def end(*arguments: object) -> None:
        assert not path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("genloom.trust.outgoing.sign_data", end)
    with pytest.raises(KeyboardInterrupt):
        output.save(path)
    image.save(Item(output.value), tmp_path / "source.png")
    with pytest.raises(KeyboardInterrupt):
        ws.upscale(tmp_path / "source.png", path.with_suffix(".png"), by=2)
    assert {each.name for each in tmp_path.iterdir()} == {"home", "source.png"}


def test_the_manifest_is_there_before_a_file_that_holds_none(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = tmp_path / "text.txt", list[str]()

    def write(target: Path, data: bytes) -> None:
        written.append(target.name)
        target.write_bytes(data)

    monkeypatch.setattr("genloom.trust.outgoing.write_atomic", write)
    store(ws, "text").save(path)
    assert written == ["text.txt.c2pa", "text.txt"]
    assert is_signed(ws, path)


def test_outputs_are_saved_with_signatures(ws: gl.Workspace, tmp_path: Path) -> None:
    outputs = gl.Outputs([store(ws, "image"), store(ws, "image")])
    paths = outputs.save(tmp_path / "saved")
    paths += gl.Outputs([store(ws, "text")]).save(tmp_path / "saved")
    paths += [
        outputs.save_sheet(tmp_path / "sheet"),
        gl.Outputs([store(ws, "text")] * 2).save_sheet(tmp_path / "texts"),
    ]
    assert all(is_signed(ws, path) for path in paths)


def test_what_a_notebook_shows_is_signed(ws: gl.Workspace, tmp_path: Path) -> None:
    import base64

    outputs = gl.Outputs([store(ws, "image"), store(ws, "image")])
    for number, bundle in enumerate((outputs[0]._repr_mimebundle_(), outputs._repr_mimebundle_())):
        path = tmp_path / f"{number}.png"
        path.write_bytes(base64.b64decode(bundle["image/png"]))
        assert is_signed(ws, path)


def test_an_edit_names_its_source(ws: gl.Workspace) -> None:
    source = image.encode(np.zeros((16, 16, 3), np.uint8))
    digest = ws.store.save_original(source, ".png")
    request = {"edit": {"image": digest, "strength": 0.5}}
    record = {"medium": "image", "model": "tiles/1", "prompt": "a tile", "request": request}
    output = ws.output(ws.store.save_output(source, ".png", record))
    manifest = output.manifest()
    assert manifest is not None
    assert manifest.source_type == "compositeWithTrainedAlgorithmicMedia"
    assert manifest.ingredients == ("source.png",)


def test_a_signature_tells_the_data_of_adapters(ws: gl.Workspace) -> None:
    import json

    for name, licence in (("base", "CC0-1.0"), ("style", "CC-BY-NC-4.0")):
        with ws.store.create_model(name) as folder:
            (folder / "weights.safetensors").write_bytes(b"")
            (folder / "card.json").write_text(json.dumps({"data": {"name": name, "licences": {licence: 1}}}))
    digests = {name: ws.store.get_model(name).digest for name in ("base", "style")}
    record = {"medium": "text", "model": "base/1", "model_digest": digests["base"], "written": "Once"}
    record = {**record, "adapters": {"style/1": digests["style"]}}
    manifest = ws.output(ws.store.save_output(text.encode("Once"), ".txt", record)).manifest()
    assert manifest is not None
    assert [entry["licences"] for entry in manifest.facts["data"]] == [["CC0-1.0"], ["CC-BY-NC-4.0"]]


def test_an_imported_answer_is_not_said_to_be_generated(ws: gl.Workspace, tmp_path: Path) -> None:
    record = {"medium": "text", "model": "tales/1", "prompt": "Once", "written": "Mine", "imported": "answers.jsonl"}
    path = ws.output(ws.store.save_output(text.encode("Mine"), ".txt", record)).save(tmp_path / "mine.txt")
    assert is_signed(ws, path)
    manifest = manifests.read_manifest(path, signing.read_anchors(ws.folder))
    assert manifest is not None
    assert (manifest.actions, manifest.source_type) == (("c2pa.opened",), "")
    assert (manifest.ingredients, manifest.facts["imported"]) == (("answers.jsonl",), "answers.jsonl")


def test_an_enlarged_picture_keeps_the_manifest_of_its_source(ws: gl.Workspace, tmp_path: Path) -> None:
    stranger = signing.create_signing_key(tmp_path / "stranger", "A stranger")
    signed = manifests.sign_bytes(
        stranger, image.encode(np.zeros((16, 16, 3), np.uint8)), ".png", {"said": "by the stranger"}
    )
    (tmp_path / "theirs.png").write_bytes(signed.data)
    path = ws.upscale(tmp_path / "theirs.png", tmp_path / "large.png", by=2)
    assert is_signed(ws, path)
    manifest = manifests.read_manifest(path, signing.read_anchors(ws.folder))
    assert manifest is not None
    assert (manifest.ingredients, manifest.actions) == (("theirs.png",), ("c2pa.opened", "c2pa.edited"))
    assert b"by the stranger" in path.read_bytes()


def test_the_manifest_of_a_source_is_never_stripped(ws: gl.Workspace, tmp_path: Path) -> None:
    """An edit keeps the file of a source that somebody signed; one without a signature is stored as its value alone."""
    from genloom.generate.editing import read_source_file
    from genloom.generate.image import EditSource

    pixels = np.zeros((16, 16, 3), np.uint8)
    stranger = signing.create_signing_key(tmp_path / "stranger", "A stranger")
    signed = manifests.sign_bytes(stranger, image.encode(pixels), ".png", {"said": "by the stranger"})
    paths = {"signed": tmp_path / "signed.png", "plain": tmp_path / "plain.png"}
    paths["signed"].write_bytes(signed.data)
    paths["plain"].write_bytes(image.encode(pixels))
    for name, path in paths.items():
        edit = EditSource(image.open(path).value, None, 0.5, read_source_file(path)).pack(image, ws.store.save_original)
        record = {"medium": "image", "model": "tiles/1", "prompt": "a tile", "request": {"edit": edit}}
        output = ws.output(ws.store.save_output(image.encode(pixels), ".png", record))
        saved = output.save(tmp_path / f"{name}-edited.png")
        assert is_signed(ws, saved)
        assert (b"by the stranger" in saved.read_bytes()) == (name == "signed")


def test_a_blind_answer_does_not_name_its_model(ws: gl.Workspace, tmp_path: Path) -> None:
    from genloom.api.signing import sign_blind_display
    from genloom.server.signed_files import sign_stored

    output = store(ws, "image")
    data = sign_blind_display(output).data
    manifest = manifests.read_bytes(data, ".png", signing.read_anchors(ws.folder))
    assert manifest is not None
    assert (manifest.state, dict(manifest.facts)) == ("unchanged", {"blind": True})
    assert b"tiles/1" not in data
    assert b"tiles/1" in sign_stored(output).read_bytes()
    assert np.array_equal(image.decode(data), output.value)


def test_the_server_signs_once(ws: gl.Workspace) -> None:
    from genloom.server.signed_files import build_manifest, sign_stored

    picture, tale = store(ws, "image"), store(ws, "text")
    first = sign_stored(picture)
    assert is_signed(ws, first)
    data = first.read_bytes()
    assert sign_stored(picture).read_bytes() == data  # so that parts of a file fit together
    assert build_manifest(ws, picture.record, picture.path) is None
    assert sign_stored(tale) == tale.path
    sidecar = build_manifest(ws, tale.record, tale.path)
    manifest = manifests.read_bytes(tale.path.read_bytes(), ".txt", signing.read_anchors(ws.folder), sidecar)
    assert manifest is not None
    assert manifest.state == "unchanged"
    assert image.decode(io.BytesIO(data).getvalue()).shape == (16, 16, 3)


def test_exported_ratings_are_signed(ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genloom.cli import run

    ws.rate(store(ws, "text"), up=True, rater="mia")
    out = tmp_path / "ratings.jsonl"
    monkeypatch.setenv("GENLOOM_HOME", str(ws.folder))
    assert run(["ratings", "export", "--to", "jsonl", "--out", str(out)]) == 0
    assert is_signed(ws, out)


def test_an_exported_model_has_a_signed_card(ws: gl.Workspace, tmp_path: Path) -> None:
    import json

    from genloom.api.signing import sign_export

    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    model: Any = ws.model("icons")
    sign_export(model, {"model.safetensors": folder / "model.safetensors"}, folder / "genloom.json")
    card = json.loads((folder / "genloom.json").read_text())
    assert card["model_digest"] == model.digest
    assert card["files"].keys() == {"model.safetensors"}
    assert is_signed(ws, folder / "genloom.json")


MARKED_OBJECTIVES = {"autoregressive", "flow"}
OTHER_OBJECTIVES = {
    "masked": "the confidence by which filled-in tokens are kept would depend on the key",
    "variational": "a decoder draws no noise that can be read back",
    "adversarial": "a generator draws no noise that can be read back",
    "vae_gan": "a decoder draws no noise that can be read back",
    "shortcut": "few steps cannot be solved backwards",
}


def test_every_objective_is_known_to_carry_a_mark_or_not(toys: Any) -> None:
    found: dict[str, set[bool]] = {}
    for name in toys.FAMILIES["any_toy"]:
        found.setdefault(name.partition("-")[0], set()).add(can_carry_mark(toys.get_toy(name).objective))
    assert found == {
        **{name: {True} for name in MARKED_OBJECTIVES},
        **{name: {False} for name in OTHER_OBJECTIVES},
    }
    assert {*plugins.list_part_names("objective")} == found.keys()


def test_outputs_without_a_mark_are_not_said_to_have_one(trained_copy: Any) -> None:
    workspace = gl.Workspace(trained_copy.root)
    (marked,) = workspace.model("tales").generate("The", max_tokens=4, seed=1)
    (masked,) = workspace.model("masks").generate(n=1, seed=1)
    assert marked.record["request"]["marking_key"]
    assert not masked.record["request"]["marking_key"]
    if signing.is_available():
        manifest = masked.manifest()
        assert manifest is not None
        assert not manifest.facts.get("mark")
