"""Samples of one size with their prompts, and the batches drawn from them."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.codecs import pixels
from genloom.conditioners.text import TextConditioner
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.text_encoders import words
from genloom.train.data import samples
from genloom.train.data.conditions import PAD_TO_MULTIPLE_OF, EncodedCondition
from genloom.train.data.samples import (
    SAMPLES_FILE,
    EncodedSamples,
    SampleBatches,
    concat_samples,
    encode_samples,
    get_sample_layout,
    list_sample_files,
    load_held_out_samples,
    read_samples,
    write_samples,
)
from genloom.train.data.source import SampleSet
from genloom.train.events import Unit
from genloom.types import Item, SignalSpace, TokenSpace, is_open_sequence
from tests.errors import raises_code

CODEC: Any = pixels.Codec(pixels.Config(size=8))
WORDS = words.build(words.Config(width=16))
PROMPTS = {"prompt": TextConditioner(WORDS)}


@pytest.fixture
def tiles(worlds: ModuleType, tmp_path: Path) -> Dataset:
    return worlds.create_image_dataset(Workspace(tmp_path))


def round_trip(items: list[Item], folder: Path, prompts: Any = PROMPTS) -> EncodedSamples:
    for _ in write_samples(encode_samples(items, CODEC, prompts), folder, prompts):
        pass
    return read_samples(folder, CODEC, prompts)


def prompts_of(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the prompt states of a batch and their mask."""
    return batch.cond.tokens, batch.cond.mask


def build_numbered_batches(count: int) -> SampleBatches:
    """Return batches of samples whose value is their index, each with a prompt."""
    x = np.arange(count, dtype=np.float16).reshape(-1, 1)
    states = EncodedCondition(np.ones((count, 2), np.float16), np.arange(1, count + 1))
    return SampleBatches(EncodedSamples(x, {"prompt": states}), 5, 3, 0.5)


def test_samples_and_prompt_states_survive_a_round_trip_to_disk(
    tiles: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list(tiles.iter_documents("train")) * 3
    monkeypatch.setattr(samples, "ENCODE_BATCH_SIZE", 64)
    assert len(items) > samples.ENCODE_BATCH_SIZE, "more than one chunk"
    rows = round_trip(items, tmp_path)
    batch = rows.build_batch(np.array([len(items) - 1, 0, 70]))
    assert len(rows) == len(items)
    assert batch.x.dtype == torch.float32
    states, mask = prompts_of(batch)
    assert mask.sum(1).tolist() == [3, 3, 3], "three words each"
    assert states.shape == (3, PAD_TO_MULTIPLE_OF, 16)
    for row, item in enumerate((items[-1], items[0], items[70])):
        assert np.allclose(batch.x[row].numpy(), CODEC.encode(item.value), atol=1e-3)
        assert np.allclose(states[row, :3].numpy(), WORDS.encode([item.meta["caption"]])[0], atol=1e-3)
        assert not states[row, 3:].any()


def test_without_a_text_encoder_there_are_no_prompts(tiles: Dataset, tmp_path: Path) -> None:
    rows = round_trip(list(tiles.iter_documents("train")), tmp_path, {})
    assert rows.build_batch(np.arange(2)).cond is None
    assert SampleBatches(rows, 4, 0, 0.5)(0).cond is None


def test_an_empty_prompt_has_no_states(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    rows = round_trip([Item(picture), Item(picture, meta={"caption": "one word"})], tmp_path)
    _, mask = prompts_of(rows.build_batch(np.array([0, 1])))
    assert mask.sum(1).tolist() == [0, 2]


@given(count=st.integers(1, 30), rows=st.integers(1, 12), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_epoch_reads_each_sample_once(count: int, rows: int, seed: int) -> None:
    samples = SampleBatches(EncodedSamples(np.arange(count, dtype=np.float16).reshape(-1, 1)), rows, seed)
    read = np.concatenate([samples(step).x[:, 0].numpy() for step in range(-(-3 * count // rows))])
    for epoch in range(3):
        assert sorted(read[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_a_batch_is_a_function_of_the_step() -> None:
    walked, jumped = build_numbered_batches(23), build_numbered_batches(23)
    batches = [walked(step) for step in range(40)]
    for step in (39, 0, 20, 21, 7):
        again = jumped(step)
        assert again.x.equal(batches[step].x)
        assert prompts_of(again)[1].equal(prompts_of(batches[step])[1])
    firsts = [batch.x[0].item() for batch in batches]
    assert len(set(firsts)) > 10, "the order is random"


def test_cond_dropout_drops_its_share_of_prompts() -> None:
    samples = build_numbered_batches(23)
    kept = [prompts_of(samples(step))[1].any(1) for step in range(200)]
    assert 0.45 < torch.cat(kept).float().mean() < 0.55


def test_held_out_samples_come_with_their_prompts(tiles: Dataset) -> None:
    batch: Any = load_held_out_samples(tiles, CODEC, PROMPTS, 5)
    values = [CODEC.encode(item.value) for item in tiles.sample_documents("val", 5)]
    assert len(batch) == 5
    assert np.allclose(batch.x.numpy(), np.stack(values), atol=1e-3)
    assert prompts_of(batch)[1].sum(1).tolist() == [3] * 5


def test_held_out_samples_are_of_every_kind(worlds: ModuleType, tmp_path: Path) -> None:
    """The data set is sorted by kind: its first held-out tiles are all of the first colour."""
    colours = {"black": (20, 20, 20), "white": (235, 235, 235)}
    data = worlds.create_image_dataset(Workspace(tmp_path), count=240, colours=colours, sorted_by_colour=True)
    batch: Any = load_held_out_samples(data, CODEC, {}, 16)
    assert len(batch) == 16
    assert 3 <= int((batch.x.mean((1, 2, 3)) > 0).sum()) <= 13


def test_without_held_out_samples_the_result_is_empty(worlds: ModuleType, tmp_path: Path) -> None:
    held = worlds.create_image_dataset(Workspace(tmp_path), count=0)
    assert len(load_held_out_samples(held, CODEC, {}, 5)) == 0


def test_tokens_on_a_grid_begin_with_bos() -> None:
    class Codes:
        space = TokenSpace(300, 5, bos=299, eos=299, grid=(2, 2))

        def encode_many(self, values):
            return (np.array([value] * 4, np.uint16) for value in values)

    codec: Any = Codes()
    (rows,) = encode_samples([Item(7), Item(8)], codec, {})
    assert np.asarray(rows.x).tolist() == [[299, 7, 7, 7, 7], [299, 8, 8, 8, 8]]
    assert rows.build_batch(np.array([1])).x.dtype == torch.int64


def test_spaces_with_a_fixed_size() -> None:
    assert not is_open_sequence(SignalSpace(4, (16, 16)))
    assert not is_open_sequence(TokenSpace(10, 5, grid=(2, 2)))
    assert is_open_sequence(TokenSpace(10, 5))
    codec: Any = SimpleNamespace(space=TokenSpace(70_000, 5, grid=(2, 2)))
    assert get_sample_layout(codec) == ((5,), np.uint32)
    assert get_sample_layout(CODEC) == ((3, 8, 8), np.float16)


class Waves:
    """Series of 1 to 6 numbers, stored as float32."""

    space, dtype = SignalSpace(1, (6,), has_lengths=True), "float32"

    def encode_many(self, values):
        return (np.asarray(value, np.float32)[None] for value in values)


def test_signals_of_different_lengths_are_padded(tmp_path: Path) -> None:
    codec: Any = Waves()
    items = [Item([1e6]), Item([1.0] * 6), Item([2.0, 3.0, 4.0])]
    for _ in write_samples(encode_samples(items, codec, {}), tmp_path, {}):
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(list_sample_files(codec.space, {}))
    assert (tmp_path / SAMPLES_FILE).stat().st_size == 4 * (1 + 6 + 3), "padding is not stored"
    encoded = read_samples(tmp_path, codec, {})
    batch = encoded.build_batch(np.array([2, 0]))
    assert batch.x.tolist() == [[[2, 3, 4, 0, 0, 0]], [[1e6, 0, 0, 0, 0, 0]]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [3, 1]
    step = SampleBatches(encoded, 3)(0)
    assert step.lengths is not None
    assert sorted(step.lengths.tolist()) == [1, 3, 6]
    (part,) = encode_samples(items, codec, {})
    lengths = concat_samples([part, part]).lengths
    assert lengths is not None
    assert lengths.tolist() == [1, 6, 3] * 2
    with raises_code("train.bad_sample_length", length=7, maximum=6):
        list(encode_samples([Item([0.0] * 7)], codec, {}))


def test_signals_of_different_lengths_and_several_axes(tmp_path: Path) -> None:
    class Clips(Waves):
        space = SignalSpace(2, (4, 3), has_lengths=True)

        def encode_many(self, values):
            return (np.asarray(value, np.float32) for value in values)

    clips = [np.arange(2 * length * 3).reshape(2, length, 3) + 1 for length in (4, 1, 2, 4)]
    codec: Any = Clips()
    for _ in write_samples(encode_samples(map(Item, clips), codec, {}), tmp_path, {}):
        pass
    batch = read_samples(tmp_path, codec, {}).build_batch(np.array([3, 2, 0, 1]))
    for row, index in enumerate((3, 2, 0, 1)):
        length = clips[index].shape[1]
        assert np.array_equal(batch.x[row, :, :length], clips[index])
        assert not batch.x[row, :, length:].any()


@pytest.mark.parametrize(("medium", "tokens"), [("image", 256), ("beeps", 100)])
def test_what_a_sample_counts_for_is_up_to_the_medium_or_its_bytes(medium: str, tokens: int, beeps: ModuleType) -> None:
    dataset: Any = SimpleNamespace(medium=medium, count_bytes=lambda split: 4_000)
    source = SampleSet(CODEC, EncodedSamples(np.zeros((4, 1))), {}, dataset, Unit("samples", "melodies"))
    assert source.tokens_per_sample == tokens


def test_a_number_beyond_float16_is_refused() -> None:
    class Loads(Waves):
        dtype = "float16"

    codec: Any = Loads()
    with raises_code("train.sample_overflow", value=1e6, dtype="float16"):
        list(encode_samples([Item([1e6])], codec, {}))


def test_large_samples_are_encoded_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ENCODE_BYTES", 2 * 4 * 6)
    codec: Any = Waves()
    assert [len(part) for part in encode_samples([Item([1.0])] * 5, codec, {})] == [2, 2, 1]
