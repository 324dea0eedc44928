"""Named conditions from the data set to a trained model: numbers and classes of sequences, fields of signals."""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from genloom.generate import engine, output_records
from genloom.model import load_model
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data.conditions import draw_kept
from genloom.train.data.packing import tokenize_document
from genloom.train.events import RunEstimate, RunResult
from genloom.train.job import Job
from genloom.train.run import TrainRequest, train_model
from genloom.types import Item
from tests.errors import raises_code

LETTERS = {"low": "ab", "high": "yz"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def train(workspace: Workspace, request: TrainRequest) -> RunResult:
    *_, result = train_model(workspace, request)
    assert isinstance(result, RunResult)
    return result


def create_words(worlds: ModuleType, workspace: Workspace, count: int = 120) -> Dataset:
    """Create short texts whose letters are a function of the class `kind`, with a number `size`, their length."""
    rng = np.random.default_rng(0)
    kinds = [("low", "high")[n % 2] for n in range(count)]
    sizes = [int(rng.integers(3, 12)) for _ in range(count)]
    texts = ["".join(rng.choice(list(LETTERS[kind]), size)) for kind, size in zip(kinds, sizes, strict=True)]
    return worlds.store_columns(
        workspace,
        "words",
        {
            "id": [hashlib.sha256(f"{n}".encode()).hexdigest() for n in range(count)],
            "text": texts,
            "source": [f"{n}" for n in range(count)],
            "licence": ["CC0-1.0"] * count,
            "split": [{0: "val"}.get(n // 2 % 6, "train") for n in range(count)],
            "bytes": [len(text) for text in texts],
            "kind": kinds,
            "size": sizes,
        },
    )


SETTINGS = {
    "codec.name": "bytes",
    "network.name": "transformer",
    "network.width": "32",
    "network.depth": "2",
    "network.heads": "2",
    "context_length": "32",
    "batch_size": "16",
    "plan.optimizer.lr_matrix": "0.02",
    "plan.optimizer.lr_embedding": "0.02",
    "plan.optimizer.lr_vector": "0.01",
}
BY_KIND = {**SETTINGS, "conditions.kind.name": "columns", "conditions.size.name": "columns"}


def test_a_model_of_sequences_obeys_its_conditions(worlds: ModuleType, workspace: Workspace) -> None:
    create_words(worlds, workspace)
    result = train(workspace, TrainRequest("words", steps=150, overrides=BY_KIND))
    assert result.held_out_metric is not None
    assert result.held_out_metric.name == "bits per byte"
    model = load_model(workspace, result.ref)
    assert list(model.conditioners) == ["kind", "size"]
    assert model.design.conditions["kind"]["classes"] == ["high", "low"]
    assert model.design.conditions["size"]["mean"][0] == pytest.approx(7, abs=1)
    for kind, letters in LETTERS.items():
        given = {"kind": kind, "size": 6.0}
        params = {"max_tokens": 20, "guidance_scale": 1.0}
        request = engine.build_request([""], 16, 0, (), params, given=given)
        draft = engine.run_request(model, request)
        text = "".join(draft.continuations)
        assert sum(letter in letters for letter in text) > 0.9 * len(text), (kind, draft.continuations)
        assert all(draft.is_finished), "every sequence ends"
        short = engine.run_request(model, engine.build_request([""], 16, 0, (), params, given={**given, "size": 3.0}))
        long = engine.run_request(model, engine.build_request([""], 16, 0, (), params, given={**given, "size": 11.0}))
        assert sum(short.num_tokens) < sum(long.num_tokens)
    output_id, *_ = output_records.store_outputs(workspace, model, request, draft)
    _, record = workspace.get_output(output_id)
    assert record["given"] == {"kind": "high", "size": "6"}
    assert model.codec.decode(record["token_ids"][:-1]) == draft.continuations[0]
    output_records.replay_output(workspace, output_id)


def test_conditions_resume_to_the_same_model(worlds: ModuleType, workspace: Workspace) -> None:
    create_words(worlds, workspace)
    whole = train(workspace, TrainRequest("words", steps=12, overrides=BY_KIND, save_steps=4))
    job = workspace.get_run(whole.run).folder / "job.toml"
    folder = workspace.create_run("words")
    (folder / "job.toml").write_text(job.read_text())
    events = train_model(workspace, TrainRequest(folder.name, should_resume=True, save_steps=4))
    for event in events:
        if getattr(event, "step", 0) == 6:
            events.close()
            break
    resumed = train(workspace, TrainRequest(folder.name, should_resume=True))
    assert worlds.file_digests(workspace, resumed.ref) == worlds.file_digests(workspace, whole.ref)


def test_a_model_with_conditions_is_tuned_with_them(worlds: ModuleType, workspace: Workspace) -> None:
    create_words(worlds, workspace)
    base = train(workspace, TrainRequest("words", steps=4, overrides=BY_KIND))
    tuned = train(workspace, TrainRequest("words", name="tuned", base=base.ref, steps=3))
    assert list(load_model(workspace, tuned.ref).conditioners) == ["kind", "size"]
    assert tuned.held_out_metric is not None


def create_plates(worlds: ModuleType, workspace: Workspace, count: int = 60) -> Dataset:
    """Create one-coloured images with a field that says where they are red, and their brightness."""
    data = worlds.create_image_dataset(workspace, count=count)
    rows = [item for split in ("train", "val", "test") for item in data.iter_documents(split)]
    columns = {
        "id": [item.meta["id"] for item in rows],
        "text": [""] * count,
        "source": [item.source for item in rows],
        "licence": [item.licence for item in rows],
        "split": ["train"] * (count - 12) + ["val"] * 12,
        "bytes": [item.meta["bytes"] for item in rows],
        "content": [worlds.image.encode(item.value) for item in rows],
        "redness": [(item.value[None, :, :, 0] / 255).tolist() for item in rows],
        "brightness": [float(item.value.mean()) for item in rows],
    }
    staged = workspace.create_dataset("plates")
    with staged as folder:
        worlds.pq.write_table(worlds.pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text('{"medium": "image", "licences": {"CC0-1.0": 60}}')
    return staged.result


def build_plates_job(data: Dataset, **changes: str) -> dict[str, Any]:
    overrides = {
        "objective.name": "flow",
        "codec.name": "pixels",
        "codec.size": "8",
        "network.name": "dit",
        "network.width": "32",
        "network.depth": "2",
        "network.head_width": "16",
        "text_encoder.name": "''",
        "conditions.redness.name": "field",
        "conditions.brightness.name": "columns",
        "batch_size": "8",
    }
    return {**overrides, **changes}


def test_a_model_of_signals_reads_fields_and_numbers(worlds: ModuleType, workspace: Workspace, tmp_path: Path) -> None:
    data = create_plates(worlds, workspace)
    result = train(workspace, TrainRequest("plates", steps=8, overrides=build_plates_job(data)))
    model = load_model(workspace, result.ref)
    spec = model.objective.network_specs["model"].condition
    assert (spec.tokens, spec.vector, spec.field) == (0, 2, 2)
    run = workspace.get_run(result.run).folder
    fields = np.fromfile(run / "train.redness.fields", np.float16).reshape(-1, 2, 8, 8)
    assert len(fields) == 48
    assert (fields[:, 1] == 1).all()
    redness = np.random.default_rng(0).random((1, 8, 8), np.float32)
    np.save(tmp_path / "plate.npy", redness)
    given = {
        "redness": model.conditioners["redness"].parse(str(tmp_path / "plate.npy")),
        "brightness": model.conditioners["brightness"].parse("100"),
    }
    request = engine.build_request([""], 2, 0, (), {"steps": 2, "guidance_scale": {"redness": 2.0}}, False, given)
    draft = engine.run_request(model, request)
    output_ids = output_records.store_outputs(workspace, model, request, draft)
    assert workspace.get_output(output_ids[0])[1]["given"]["brightness"] == "100"
    _, replayed = output_records.replay_output(workspace, output_ids[1])
    assert np.array_equal(replayed, draft.values[1])
    larger = {**given, "redness": np.ones((1, 12, 10), np.float32)}
    for values, scale in ((larger, 2.0), ({"brightness": 1.0}, {"redness": 2.0})):
        params = {"steps": 2, "size": [12, 10], "guidance_scale": scale}
        request = engine.build_request([""], 2, 0, (), params, False, values)
        assert engine.run_request(model, request).values[0].shape == (12, 10, 3)
    with raises_code("networks.field_size", field=(8, 8), size=(12, 10)):
        engine.run_request(model, engine.build_request([""], 1, 0, (), {"size": [12, 10]}, False, given))
    unconditional = engine.build_request([""], 2, 0, (), {"steps": 2}, False)
    assert not np.array_equal(engine.run_request(model, unconditional).values[0], draft.values[0])
    frames = engine.interpolate_request(engine.build_request([""], 2, 0, (), {"steps": 2}, False, given), 3)
    ids = output_records.store_outputs(workspace, model, frames, engine.run_request(model, frames))
    output_records.replay_output(workspace, ids[1])
    with raises_code("conditioners.unknown", name="loads", known="redness, brightness"):
        engine.run_request(model, engine.build_request([""], 1, 0, (), {}, False, {"loads": 1}))


def create_tunes(worlds: ModuleType, workspace: Workspace, count: int = 120) -> Dataset:
    """Create texts of different lengths, with a field that says for each letter whether it is an a or a b."""
    rng = np.random.default_rng(0)
    fields = [rng.integers(0, 2, int(rng.integers(3, 20))) for _ in range(count)]
    return worlds.store_columns(
        workspace,
        "tunes",
        {
            "id": [hashlib.sha256(f"{n}".encode()).hexdigest() for n in range(count)],
            "text": ["".join("ab"[bit] for bit in field) for field in fields],
            "source": [f"{n}" for n in range(count)],
            "licence": ["CC0-1.0"] * count,
            "split": [{0: "val"}.get(n % 6, "train") for n in range(count)],
            "bytes": list(map(len, fields)),
            "chords": [field.astype(float).tolist() for field in fields],
            "chords.shape": [[1, len(field)] for field in fields],
        },
    )


def test_a_field_beside_tokens_says_what_each_of_them_is(worlds: ModuleType, workspace: Workspace) -> None:
    """The sequences are longer than the rows, so that a field is cut with its tokens."""
    create_tunes(worlds, workspace)
    overrides = {**SETTINGS, "conditions.chords.name": "field", "context_length": "12"}
    result = train(workspace, TrainRequest("tunes", steps=100, overrides=overrides))
    assert result.held_out_metric is not None
    assert result.held_out_metric.value < 0.8, "without the field a letter costs a bit, and its end some more"
    model = load_model(workspace, result.ref)
    bits = np.random.default_rng(1).integers(0, 2, 9)
    params = {"max_tokens": 9, "guidance_scale": 1.0}
    request = engine.build_request([""], 4, 0, (), params, given={"chords": bits[None].astype(np.float32)})
    for text in engine.run_request(model, request).continuations:
        expected = ["ab"[bit] for bit in bits[: len(text)]]
        assert np.mean(np.array(list(text)) == expected) > 0.8


def test_a_field_can_be_longer_than_those_of_the_training_data(worlds: ModuleType, workspace: Workspace) -> None:
    create_tunes(worlds, workspace)
    overrides = {**SETTINGS, "conditions.chords.name": "field"}
    model = load_model(workspace, train(workspace, TrainRequest("tunes", steps=2, overrides=overrides)).ref)
    given = {"chords": np.ones((1, 40), np.float32)}
    request = engine.build_request([""], 2, 0, (), {"max_tokens": 5, "guidance_scale": 2.0}, given=given)
    assert engine.run_request(model, request).num_tokens[0]


def test_a_field_off_the_grid_of_the_samples_is_an_error(worlds: ModuleType, workspace: Workspace) -> None:
    data = create_plates(worlds, workspace)
    overrides = build_plates_job(data, **{"codec.size": "4"})
    with raises_code("train.field_off_grid", size=(8, 8), grid=(4, 4)):
        list(train_model(workspace, TrainRequest("plates", steps=2, overrides=overrides)))


def test_a_number_drops_all_conditions_together_and_each_alone() -> None:
    kept = draw_kept(["a", "b"], 0.25, 40_000, 0, 0)
    assert (~kept["a"] & ~kept["b"]).mean() == pytest.approx(0.25 + 0.75 * 0.25**2, abs=0.01)
    assert (kept["a"] & ~kept["b"]).mean() == pytest.approx(0.75 * 0.75 * 0.25, abs=0.01)
    single = draw_kept(["a"], 0.25, 40_000, 0, 0)
    assert single["a"].mean() == pytest.approx(0.75, abs=0.01)


def test_shares_by_condition_drop_each_alone() -> None:
    kept = draw_kept(["a", "b"], {"b": 0.5}, 10_000, 0, 0)
    assert kept["a"].all()
    assert kept["b"].mean() == pytest.approx(0.5, abs=0.02)


def test_a_job_names_its_conditions(worlds: ModuleType, workspace: Workspace) -> None:
    tables = worlds.build_job(create_words(worlds, workspace)).to_tables()
    named = apply_overrides(tables, {"conditions.kind.name": "columns", "cond_dropout.kind": "0.2"})
    job = Job.from_tables(named)
    assert job.cond_dropout == {"kind": 0.2}
    assert Job.from_tables(job.to_tables()) == job
    with_prompts = apply_overrides(named, {"text_encoder.name": "words"})
    for path, value, code in (
        ("conditions", "3", "model.conditions_not_table"),
        ("conditions.kind", "3", "model.condition_without_name"),
        ("conditions.my-kind.name", "columns", "model.bad_condition_name"),
        ("cond_dropout.size", "0.1", "train.cond_dropout_name"),
        ("conditions.prompt.name", "text", "model.two_prompts"),
    ):
        with raises_code(code):
            Job.from_tables(apply_overrides(with_prompts, {path: value}))
    prompt = {"text_encoder.name": "''", "conditions.prompt.name": "text", "conditions.prompt.encoder": "words"}
    assert list(Job.from_tables(apply_overrides(with_prompts, prompt)).design.condition_tables) == ["kind", "prompt"]


def test_a_counting_network_counts_sequences(worlds: ModuleType, workspace: Workspace) -> None:
    """The default network of text keeps its counts when a text has conditions, and its baseline says what they know."""
    create_words(worlds, workspace)
    overrides = {key: value for key, value in BY_KIND.items() if not key.startswith("network")}
    base = {f"network.base.{key}": "2" if key == "heads" else "16" for key in ("width", "heads")}
    overrides |= {"network.name": "ngram", "network.num_folds": "2", "network.order": "3", **base}
    *_, result = events = list(train_model(workspace, TrainRequest("words", steps=20, overrides=overrides)))
    (estimate,) = (event for event in events if isinstance(event, RunEstimate))
    assert isinstance(result, RunResult)
    assert result.held_out_metric is not None
    assert estimate.ngram_baseline is not None
    assert 0.5 < estimate.ngram_baseline < 2
    assert result.held_out_metric.value < estimate.ngram_baseline + 0.1
    model = load_model(workspace, result.ref)
    (bos, *_), _ = tokenize_document(model.codec, Item("ab"))
    network: Any = model.parts["model"]
    first_probs = network.get_count_model().predict_probs(np.array([[-1, bos]]))[0]
    assert sum(first_probs[ord(letter)] for letter in "abyz") > 0.6, "a sequence begins after the end of another"


def test_guidance_by_name_adds_up() -> None:
    from genloom.generate.guidance import ClassifierFreeGuidance
    from genloom.types import Condition

    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: Any = None, cond: Any = None, lengths: Any = None) -> torch.Tensor:
            return x + cond.vector.sum(1, keepdim=True)

    def vector(value: float) -> Condition:
        return Condition(vector=torch.full((2, 1), value))

    guided = ClassifierFreeGuidance(Network(), 1.0, vector(0.0), components=[(vector(1.0), 2.0), (vector(10.0), 3.0)])
    assert guided(torch.zeros(2, 1), cond=vector(11.0)).flatten().tolist() == [32.0, 32.0]
