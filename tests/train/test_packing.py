"""Packed rows: documents do not attend to each other, no token is lost, and a batch is a function of its step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from genloom.codecs import bytes as utf8
from genloom.networks import ngram, transformer
from genloom.noise import build_training_noise
from genloom.objectives.autoregressive import Autoregressive
from genloom.store.dataset import Dataset
from genloom.train.data.packing import (
    EncodedDocuments,
    PackedBatches,
    iter_spans,
    pack_best_fit,
    tokenize_document,
    write_documents,
)
from genloom.train.data.sequences import SequenceSet
from genloom.types import Batch, Item, Message, NetworkSpec, TokenSpace
from tests.errors import raises_code

CODEC = utf8.Codec.fit((), utf8.Config())
EOS = CODEC.space.eos
TEXTS = ["The sea.", "A longer tale of a red boat and a bell.", "Zoë", "No one wept over the last letter.", "狐 😀"]
TALK = (
    Message("user", "Who wept?"),
    Message("assistant", "Nobody."),
    Message("user", "Why?"),
    Message("assistant", "!"),
)


def documents(texts: list[str] = TEXTS) -> EncodedDocuments:
    return EncodedDocuments.from_pairs(tokenize_document(CODEC, Item(text)) for text in texts)


def network(**config: object) -> nn.Module:
    torch.manual_seed(0)
    space = TokenSpace(CODEC.space.vocab_size, 64, EOS, EOS)
    settings = {"width": 16, "depth": 2, "heads": 4, "key_heads": 2, **config}
    made = transformer.build(NetworkSpec(space, space, is_causal=True), transformer.Config(**settings))  # ty: ignore
    for p in made.parameters():
        nn.init.normal_(p, std=0.3)
    return made


def losses(model: nn.Module, batch: Batch) -> Tensor:
    """Return the loss of each position after the first, B L-1; 0 outside the mask."""
    objective = Autoregressive(TokenSpace(CODEC.space.vocab_size, 64, EOS, EOS))
    found = []
    assert batch.mask is not None
    for at in range(1, batch.x.shape[1]):
        only = torch.zeros_like(batch.mask)
        only[:, at] = batch.mask[:, at]
        asked = Batch(batch.x, mask=only, lengths=batch.lengths, segments=batch.segments)
        found.append(
            objective.loss({"model": model}, asked, objective.phases[0], build_training_noise(0, 0, 0, 1)).per_sample
        )
    return torch.stack(found, 1).detach()


def by_document(model: nn.Module, packed: PackedBatches) -> dict[str, float]:
    """Return the loss of every document by its text, over an epoch."""
    found: dict[str, float] = {}
    for step in range(-(-len(packed.packs) // packed.batch_size)):
        batch = packed(step)
        nll_BL = losses(model, batch)
        for row in range(packed.batch_size):
            numbers = batch.segments[row] if batch.segments is not None else torch.zeros(packed.pack_length)
            for number in numbers.unique():
                mine = numbers == number
                text = CODEC.decode(batch.x[row][mine].numpy())
                if text:
                    found[text] = float(nll_BL[row][mine[1:]].sum())
    return found


@pytest.mark.parametrize("config", [{}, {"window": 8}, {"positions": "learned", "qk_norm": False}])
def test_packed_documents_have_their_own_loss(config: dict[str, object]) -> None:
    model = network(**config)
    together = by_document(model, PackedBatches(documents(), 2, 64, EOS))
    alone = by_document(model, PackedBatches(documents(), 1, 64, EOS, is_one_per_row=True))
    assert len(together) == len(TEXTS)
    assert together == pytest.approx(alone, rel=1e-5)


def test_packed_documents_have_their_own_loss_in_low_precision() -> None:
    model = network().to(torch.bfloat16)
    together = by_document(model, PackedBatches(documents(), 2, 64, EOS))
    assert together == pytest.approx(
        by_document(model, PackedBatches(documents(), 1, 64, EOS, is_one_per_row=True)), rel=0.02
    )


def test_a_document_does_not_affect_others() -> None:
    model = network()
    before = by_document(model, PackedBatches(documents(), 1, 128, EOS))
    changed = [TEXTS[0], "B" + TEXTS[1][1:], *TEXTS[2:]]
    after = by_document(model, PackedBatches(documents(changed), 1, 128, EOS))
    assert [t for t in before if before[t] != after.get(t)] == [TEXTS[1]]


def test_gradients_stay_within_a_document() -> None:
    model = network()
    batch = PackedBatches(documents(), 1, 128, EOS)(0)
    assert batch.segments is not None
    noticed: list[Tensor] = []
    model.embedding.embed.register_forward_hook(lambda *a: (a[2].retain_grad(), noticed.append(a[2]))[0])  # ty: ignore
    logits_BLV = model(batch.x, segments=batch.segments)
    logits_BLV[0, batch.segments[0] == 1].sum().backward()
    assert noticed[0].grad is not None
    reached = noticed[0].grad[0].abs().sum(1) > 0
    assert torch.equal(reached, batch.segments[0] == 1)


def test_only_the_answers_of_a_conversation_are_trained() -> None:
    ids, loss_mask = tokenize_document(CODEC, Item("", meta={"turns": TALK}))
    assert CODEC.decode(ids[loss_mask]) == "Nobody.!"
    assert (ids[loss_mask] == EOS).sum() == 2, "EOS too"
    packed = PackedBatches(
        EncodedDocuments.from_pairs([(ids, loss_mask), tokenize_document(CODEC, Item("Plain."))]), 1, 96, EOS
    )
    batch = packed(0)
    assert batch.mask is not None
    counted = batch.x[0][batch.mask[0]].numpy()
    assert sorted(CODEC.decode(counted)) == sorted("Nobody.!Plain.")
    assert len(counted) == len("Nobody.!Plain.") + 3


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(2, 17))
def test_every_masked_token_is_predicted_once(sizes: list[int], length: int) -> None:
    parts = [(np.arange(n) + 1000 * i, np.arange(n) % 3 > 0) for i, n in enumerate(sizes)]
    stored = EncodedDocuments.from_pairs(parts)
    found = list(iter_spans(stored, length))
    assert all(2 <= piece.end - piece.start <= length for piece in found)
    predicted = [n for piece in found for n in range(piece.start + 1, piece.end) if stored.loss_mask[n]]
    begins = np.concatenate([[0], stored.ends[:-1]])
    assert sorted(predicted) == [n for n in np.flatnonzero(stored.loss_mask).tolist() if n not in begins]


@given(st.lists(st.integers(1, 50), max_size=60))
def test_rows_are_filled_within_the_bound_and_hold_each_piece_once(sizes: list[int]) -> None:
    rows = pack_best_fit(sizes, 50)
    assert sorted(n for row in rows for n in row) == list(range(len(sizes)))
    assert all(sum(sizes[n] for n in row) <= 50 for row in rows)
    assert len(rows) <= 2 * -(-sum(sizes) // 50)


def test_a_long_document_is_split_and_counted() -> None:
    packed = PackedBatches(documents(["x" * 100, "short"]), 1, 32, EOS)
    assert packed.num_cut == 1
    masks = [packed(step).mask for step in range(len(packed.packs))]
    seen = sum(int(mask.sum()) for mask in masks if mask is not None)
    assert seen == 100 + 1 + 5 + 1


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        packed = PackedBatches(documents([f"Text {n} " * 3 for n in range(40)]), 1, 32, EOS, seed)
        return packed.orders[0].epoch_examples(epoch).tolist()

    assert order(1, 0) == order(1, 0)
    assert sorted(order(1, 0)) == sorted(order(1, 1)) == list(range(len(order(1, 0))))
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_a_batch_is_a_function_of_the_step() -> None:
    packed = PackedBatches(documents(), 2, 48, EOS, seed=5)
    first = [packed(step) for step in range(6)]
    again = {step: PackedBatches(documents(), 2, 48, EOS, seed=5)(step) for step in (4, 1)}
    for step, batch in again.items():
        assert torch.equal(batch.x, first[step].x)
        assert torch.equal(batch.segments, first[step].segments)  # ty: ignore[invalid-argument-type]


def test_documents_survive_a_round_trip_to_disk(tmp_path: Path) -> None:
    found = [tokenize_document(CODEC, Item(text)) for text in TEXTS]
    write_documents(found, tmp_path)
    stored, kept = EncodedDocuments.load(tmp_path), EncodedDocuments.from_pairs(found)
    for name in ("ids", "loss_mask", "ends"):
        assert np.array_equal(getattr(stored, name), getattr(kept, name))
    assert isinstance(stored.ids, np.memmap), "memory-mapped"


def test_empty_documents_are_an_error() -> None:
    with raises_code("train.empty_documents"):
        PackedBatches(EncodedDocuments.from_pairs([]), 1, 32, EOS)


def test_the_rows_of_a_step_lie_in_one_fold() -> None:
    """So a network that counts n-grams predicts each fold by the counts of the others."""
    encoded = documents([chr(97 + n % 26) * (n % 7 + 3) for n in range(60)])
    folds = [(50, 200), (200, 350), (350, len(encoded.ids))]
    packed = PackedBatches(encoded, 4, 16, EOS, 0, is_one_per_row=True, folds=folds)
    read = set()
    for step in range(60):
        for index in packed.draw_packs(step).tolist():
            (span,) = (packed.spans[n] for n in packed.packs[index])
            begin, end = folds[step % 3]
            assert begin <= span.start < span.end <= end
            read.add(index)
    assert len(read) == 60 - 7 - 2, "all but those before the first fold, and those on a border"


def test_the_folds_of_sequences_are_those_of_their_counts() -> None:
    encoded = documents([chr(97 + n % 26) * (n % 7 + 3) for n in range(60)])
    space = NetworkSpec(CODEC.space, CODEC.space, is_causal=True)
    config = ngram.Config(order=3, num_folds=4, base=transformer.Config(width=8, depth=1, heads=1))
    parts = nn.ModuleDict({"model": ngram.build(space, config)})
    source = SequenceSet(CODEC, encoded, {}, {}, Dataset("", "", Path(), {}), 32)
    stream = source.build_count_stream()
    assert stream.tolist().count(EOS) == 60 + 1
    size = len(stream) // 4
    for n, (begin, end) in enumerate(source.list_folds(parts)):
        fold = encoded.ids[begin:end]
        is_twin = (fold == EOS) & (np.append(encoded.ids[:1], encoded.ids)[begin:end] == EOS)
        is_twin[0] &= n > 0
        assert fold[~is_twin].tolist() == stream[n * size : (n + 1) * size].tolist()
