"""The likelihood of texts is exact for any length, and does not depend on the batch."""

from types import ModuleType

import numpy as np
import pytest
import torch

from genloom.codecs.chat_template import render_chat
from genloom.model import Model, load_model
from genloom.model.likelihood import compute_nll, to_bits_per_unit
from genloom.store.workspace import Workspace
from genloom.types import Message, TokenSpace


@pytest.fixture(scope="module")
def model(trained_home: Workspace) -> Model:
    return load_model(trained_home, "tales")


@pytest.fixture(scope="module")
def texts(worlds: ModuleType) -> list[str]:
    return ["", "The old king", *worlds.make_tales(3, seed=9), "狐", "", "Zoë saw 😀"]


def by_hand(model: Model, text: str) -> float:
    """Predict each token from those before it, one network call per token, with windows that overlap by half."""
    assert isinstance(model.codec.space, TokenSpace)
    ids = [model.codec.space.bos, *model.codec.encode(text).tolist()]
    length, total = model.design.context_length, 0.0
    for at in range(1, len(ids)):
        # The window that scores a token: the first has `length` tokens, each further one adds half as many.
        more = max(0, -(-(at + 1 - length) // (length // 2)))
        begin = more * (length // 2)
        logits = model.parts["model"](torch.tensor([ids[begin:at]]))[0, -1].double()
        total -= float(logits.log_softmax(0)[ids[at]])
    return total


def test_the_nll_is_the_sum_over_tokens(model: Model, texts: list[str]) -> None:
    found = list(compute_nll(model, texts))
    assert [size for _, size in found] == [len(text.encode()) for text in texts]
    for text, (nats, _) in zip(texts, found, strict=True):
        assert nats == pytest.approx(by_hand(model, text), rel=1e-4, abs=1e-4)
    assert max(len(model.codec.encode(text)) for text in texts) > 5 * model.design.context_length, (
        "some need many windows"
    )


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_the_size_of_the_batch_does_not_matter(model: Model, texts: list[str], batch_size: int) -> None:
    expected = np.array(list(compute_nll(model, texts)))
    assert np.array(list(compute_nll(model, texts, batch_size))) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_results_come_in_order_and_as_early_as_possible(model: Model, texts: list[str]) -> None:
    alone = [next(iter(compute_nll(model, [text]))) for text in texts]
    assert np.array(list(compute_nll(model, texts, batch_size=3))) == pytest.approx(np.array(alone), rel=1e-4, abs=1e-4)
    read = []
    stream = compute_nll(model, (read.append(n) or text for n, text in enumerate(texts * 4)), batch_size=2)
    next(stream)
    assert len(read) < 6


def test_empty_texts_have_no_nll(model: Model) -> None:
    assert list(compute_nll(model, [])) == []
    assert list(compute_nll(model, ["", ""])) == [(0.0, 0), (0.0, 0)]
    assert to_bits_per_unit([]) == 0.0


def test_a_lone_surrogate_is_scored(model: Model) -> None:
    ((nats, size),) = compute_nll(model, ["a\ud800b"])
    assert np.isfinite(nats)
    assert size == 3


def test_bits_per_byte_weighs_bytes(model: Model, worlds: ModuleType) -> None:
    assert to_bits_per_unit([(np.log(2), 1), (3 * np.log(2), 7)]) == pytest.approx(0.5)
    learned, noise = worlds.make_tales(4, seed=3), ["".join(reversed(text)) for text in worlds.make_tales(4, seed=3)]
    assert to_bits_per_unit(compute_nll(model, learned)) < 1.5 < 3 < to_bits_per_unit(compute_nll(model, noise))


def test_a_bound_is_estimated_the_same_each_time(worlds: ModuleType, trained_home: Workspace) -> None:
    masks = load_model(trained_home, "masks")
    texts = worlds.make_tales(4, seed=3)
    once, again = list(compute_nll(masks, texts, batch_size=3)), list(compute_nll(masks, texts, batch_size=64))
    assert np.array(once) == pytest.approx(np.array(again), rel=1e-4)
    assert 0 < to_bits_per_unit(once) < 8


def test_only_answers_of_a_conversation_are_scored(model: Model) -> None:
    talk = (Message("user", "Who wept?"), Message("assistant", "Nobody, 狐."), Message("user", "Why?"))
    [(nats, size)] = compute_nll(model, [talk])
    assert size == len("Nobody, 狐.".encode())
    ids, answer_mask = render_chat(model.codec, talk, add_generation_prompt=False)  # ty: ignore[invalid-argument-type]
    assert isinstance(model.codec.space, TokenSpace)
    log_p = model.parts["model"](torch.from_numpy(ids[None]))[0].double().log_softmax(1)
    by_hand = -sum(float(log_p[at - 1, ids[at]]) for at in np.flatnonzero(answer_mask))
    assert nats == pytest.approx(by_hand, rel=1e-4)


def test_texts_and_conversations_are_measured_together_in_order(model: Model, texts: list[str]) -> None:
    talks = [(Message("user", text), Message("assistant", f"{text}!")) for text in texts]
    mixed = [sample for pair in zip(texts, talks, strict=True) for sample in pair]
    alone = [next(compute_nll(model, [sample])) for sample in mixed]
    assert np.array(list(compute_nll(model, mixed))) == pytest.approx(np.array(alone), rel=1e-4, abs=1e-4)
