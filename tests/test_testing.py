"""The contracts for plugin authors hold for built-in parts, and fail for parts that break them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom import plugins
from genloom.networks import transformer
from genloom.objectives.flow import Flow
from genloom.testing import check_codec, check_network, check_objective
from genloom.types import Batch, NetworkSpec, SignalSpace, TokenSpace

TEXTS = ["", "To be, or not to be", "naïve café — 東京 🎭", "a\r\nb\x00c", "<|user|> is text here"]


# Codecs of images and pretrained tokenizers are checked in tests/codecs.
@pytest.mark.parametrize("name", ["bpe", "bytes"])
def test_text_codecs_keep_the_contract(name):
    module = plugins.find_part("codec", name)
    check_codec(module.Codec.fit(["To be, or not to be, that is the question. " * 50], module.Config()), TEXTS)


class FaultyCodec:
    """A codec with one fault at a time."""

    def __init__(self, fault: str = ""):
        self.fault = fault

    @property
    def space(self) -> TokenSpace:
        return TokenSpace(256, 64)

    def encode(self, value: str) -> np.ndarray:
        data = np.frombuffer(value.encode(), np.uint8).astype(np.int64)
        return data + 200 if self.fault == "outside" else data

    def encode_many(self, values):
        some = [self.encode(v) for v in values]
        return iter(some[::-1] if self.fault == "order" else some)

    def decode(self, x) -> str:
        text = bytes(np.asarray(x, np.uint8)).decode()
        return text.lower() if self.fault == "lossy" else text

    def save(self, folder: Path) -> None:
        (folder / "fault").write_text("lossy" if self.fault == "forgetful" else self.fault)

    @staticmethod
    def load(folder: Path) -> "FaultyCodec":
        fault = (folder / "fault").read_text()
        return ReversingCodec() if fault == "lossy" else FaultyCodec(fault)


class ReversingCodec(FaultyCodec):
    def encode(self, value: str) -> np.ndarray:
        return super().encode(value)[::-1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("outside", "outside the vocabulary"),
        ("order", "encode_many"),
        ("lossy", "decode"),
        ("forgetful", "a saved codec"),
    ],
)
def test_a_codec_that_breaks_its_contract_fails(fault, words):
    check_codec(FaultyCodec(), ["To be", "Or not"])
    with pytest.raises(AssertionError, match=words):
        check_codec(FaultyCodec(fault), ["To be", "Or not"])


READER = NetworkSpec(TokenSpace(7, 6), TokenSpace(7, 6), is_causal=True)


class FaultyNetwork(nn.Module):
    """A transformer with one fault at a time around it."""

    def __init__(self, fault: str):
        super().__init__()
        config = transformer.Config(width=16, depth=1, heads=2)
        both_ways = NetworkSpec(READER.input, READER.output, is_causal=fault != "looks ahead")
        self.fault, self.inner = fault, transformer.build(both_ways, config)

    def init_cache(self, count: int, length: int):
        return self.inner.init_cache(count, length)

    def forward(self, x: Tensor, t=None, cond=None, lengths=None, cache=None) -> Tensor:
        out = self.inner(x, t, cond=cond, lengths=lengths, cache=cache)
        if self.fault == "mixes rows":
            return out + out.mean(0)
        if self.fault == "counts calls" and cache is not None:
            return out + 0.1 * cache.lengths[:, None, None]
        return out[..., :3] if self.fault == "narrow" else out


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("mixes rows", "a row read alone"),
        ("looks ahead", "changes outputs before it"),
        ("counts calls", "reading in pieces"),
        ("narrow", "the output has shape"),
    ],
)
def test_a_network_that_breaks_its_contract_fails(fault, words):
    check_network(FaultyNetwork(""), READER)
    with pytest.raises(AssertionError, match=words):
        check_network(FaultyNetwork(fault), READER)


class Batchwise(Flow):
    """Normalises by the batch, which a loss per row must not."""

    def loss(self, parts, batch, phase, noise):
        loss = super().loss(parts, batch, phase, noise)
        return type(loss)(loss.per_sample / loss.per_sample.sum(), loss.num_terms)


def test_an_objective_that_breaks_its_contract_fails(toys):
    toy = toys.TOYS["flow-dense"]
    batch = Batch(toys.sample_world(toy.space, 4, 0))
    parts = dict(toys.build_networks(toy).items())
    check_objective(Flow(SignalSpace(2)), parts, batch)
    with pytest.raises(AssertionError, match="must not depend on its batch"):
        check_objective(Batchwise(SignalSpace(2)), parts, batch)
    with pytest.raises(AssertionError, match="do not match the network specs"):
        check_objective(Flow(SignalSpace(2)), {"other": parts["model"]}, batch)
    with pytest.raises(AssertionError, match="not finite"):
        check_objective(Flow(SignalSpace(2)), parts, Batch(torch.full((4, 2), torch.inf)))
