"""The contracts for plugin authors hold for built-in parts, and fail for parts that break them."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom import plugins
from genloom.collect import preparation
from genloom.networks import transformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.flow import Flow
from genloom.rate.checks import CheckResult
from genloom.testing import (
    check_check,
    check_codec,
    check_conditioner,
    check_features,
    check_medium,
    check_network,
    check_objective,
    check_preparation,
    check_text_encoder,
)
from genloom.text_encoders import words
from genloom.types import Batch, Condition, ConditionSpec, DefaultRecipe, Item, NetworkSpec, SignalSpace, TokenSpace

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
        self.square = nn.Parameter(torch.eye(7))

    def init_cache(self, count: int, length: int):
        return self.inner.init_cache(count, length)

    def forward(self, x: Tensor, t=None, cond=None, lengths=None, cache=None) -> Tensor:
        out = self.inner(x, t, cond=cond, lengths=lengths, cache=cache)
        if self.fault == "mixes rows":
            return out + out.mean(0)
        if self.fault == "counts calls" and cache is not None:
            return out + 0.1 * cache.lengths[:, None, None]
        if self.fault == "one precision":
            return nn.functional.linear(out.float(), self.square)
        return out[..., :3] if self.fault == "narrow" else out


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("mixes rows", "a row read alone"),
        ("looks ahead", "changes outputs before it"),
        ("counts calls", "reading in pieces"),
        ("narrow", "the output has shape"),
        ("one precision", "weights in bfloat16"),
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


class Half(Flow):
    """Keeps the precision of the network, whose sums may then overflow."""

    def loss(self, parts, batch, phase, noise):
        loss = super().loss(parts, batch, phase, noise)
        dtype = next(parts["model"].parameters()).dtype
        return type(loss)(loss.per_sample.to(dtype), loss.num_terms)


class PaddingReader(Flow):
    """Takes the mean over all positions, those beyond the length of a row too."""

    def loss(self, parts, batch, phase, noise):
        return super().loss(parts, replace(batch, lengths=None), phase, noise)


class BiasDetaching(nn.Module):
    """Computes as `network` does, with the biases as constants."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *args, **kwargs):
        state = {n: p.detach() if n.endswith("bias") else p for n, p in self.network.named_parameters()}
        return torch.func.functional_call(self.network, state, args, kwargs)


class Detached(Flow):
    def loss(self, parts, batch, phase, noise):
        return super().loss({"model": BiasDetaching(parts["model"])}, batch, phase, noise)


class PackIgnoring(Autoregressive):
    """Counts in packed rows as in others."""

    def loss(self, parts, batch, phase, noise):
        return super().loss(parts, replace(batch, segments=None), phase, noise)


def test_an_objective_that_breaks_the_contract_of_training_fails(toys):
    toy = toys.TOYS["flow-dense"]
    batch, parts = Batch(toys.sample_world(toy.space, 4, 0)), dict(toys.build_networks(toy).items())
    with pytest.raises(AssertionError, match="gives no gradient to"):
        check_objective(Detached(toy.space), parts, batch)
    parts["model"].register_forward_hook(lambda network, args, out: nn.functional.dropout(out, 0.5, network.training))
    with pytest.raises(AssertionError, match="the same keys must give the same loss"):
        check_objective(toy.objective, parts, batch)


def test_an_objective_that_mixes_packed_documents_fails(toys):
    toy = toys.TOYS["autoregressive-transformer"]
    batch, parts = toys.build_batches(toy, 6)(0), dict(toys.build_networks(toy).items())
    with pytest.raises(AssertionError, match="packed into its row"):
        check_objective(PackIgnoring(toy.space), parts, batch)


def test_an_objective_that_reads_padding_fails(toys):
    toy = toys.get_toy("flow-dit-clip")
    batch = Batch(toys.sample_world(toy.space, 4, 0), lengths=torch.arange(4) + 1)
    parts = dict(toys.build_networks(toy).items())
    check_objective(Flow(toy.space), parts, batch)
    with pytest.raises(AssertionError, match="padding must not change the loss"):
        check_objective(PaddingReader(toy.space), parts, batch)


def test_an_objective_that_breaks_its_contract_fails(toys):
    toy = toys.TOYS["flow-dense"]
    batch = Batch(toys.sample_world(toy.space, 4, 0))
    parts = dict(toys.build_networks(toy).items())
    check_objective(Flow(SignalSpace(2)), parts, batch)
    with pytest.raises(AssertionError, match="must not depend on its batch"):
        check_objective(Batchwise(SignalSpace(2)), parts, batch)
    with pytest.raises(AssertionError, match="float32"):
        check_objective(Half(SignalSpace(2)), parts, batch)
    with pytest.raises(AssertionError, match="do not match the network specs"):
        check_objective(Flow(SignalSpace(2)), {"other": parts["model"]}, batch)
    with pytest.raises(AssertionError, match="not finite"):
        check_objective(Flow(SignalSpace(2)), parts, Batch(torch.full((4, 2), torch.inf)))


MELODIES = [(0, 1, 2, 3), (3, 3, 0, 0, 1), (2,) * 16]


def spoil(part: Any, **faults: Any) -> Any:
    """Return a part with some of its names replaced."""
    return SimpleNamespace(**{**vars(part), **faults})


def never(*_: Any) -> Any:
    raise KeyError("not a ValueError")


MEDIUM_FAULTS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "two encodings": ("encode must be deterministic", lambda b: {"encode": count_calls(b.encode)}),
    "lossy": ("decode must invert encode", lambda b: {"decode": lambda data: b.decode(data)[:3]}),
    "crash on damage": ("decode of damaged bytes", lambda b: {"decode": lambda data: json.loads(data)["notes"]}),
    "litter": ("leave one file", lambda b: {"save": lambda item, path: (b.save(item, path), litter(path))}),
    "another value": ("return the value that was saved", lambda b: {"open": lambda path: Item((0,), str(path))}),
    "no source": ("source of an opened item", lambda b: {"open": lambda path: replace(b.open(path), source="")}),
    "one problem": ("list of problems", lambda b: {"check": lambda item: "it is short"}),
    "missing file": ("must name it", lambda b: {"open": lambda path: b.open(path) if path.exists() else fail("no")}),
    "suffix": ("not a suffix in lower case", lambda b: {"suffixes": ("beep",)}),
    "shown": ("show must return a Display", lambda b: {"show": lambda value: "▁▃"}),
    "sheet": ("sheet must return a Display", lambda b: {"sheet": lambda values, captions: None}),
    "units": ("count_units must return", lambda b: {"count_units": lambda value: len(value) / 2}),
    "cut": ("cut must not change", lambda b: {"cut": lambda value, max_units: value[: max_units - 1]}),
    "split": ("split must keep every unit", lambda b: {"split": lambda value, count: [value[:1], value[2:]]}),
    "describe": ("finite numbers by name", lambda b: {"describe": lambda value: {"mean": float("nan")}}),
    "features": ("does not exist", lambda b: {"feature_extractor": "no_such_features"}),
    "recipe": ("does not exist", lambda b: {"default_recipes": (DefaultRecipe((), "no_such_network", ("bytes",)),)}),
    "torch": ("without torch", lambda b: {"__name__": "genloom.networks.dense"}),
}


@pytest.mark.parametrize("fault", ["", *MEDIUM_FAULTS])
def test_a_medium_that_breaks_its_contract_fails(beeps, fault):
    if not fault:
        check_medium(beeps, MELODIES)
        return
    words, build = MEDIUM_FAULTS[fault]
    with pytest.raises(AssertionError, match=words):
        check_medium(spoil(beeps, **build(beeps)), MELODIES)


def count_calls(call):
    numbers = itertools.count()
    return lambda value: call(value) + b" " * next(numbers)


def litter(path):
    path.with_suffix(".part").touch()


def fail(reason):
    raise ValueError(reason)


PREPARATION_FAULTS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "uncounted": ("count_matching_files", lambda p: {"count_matching_files": lambda files: 0}),
    "left out": ("select must return every file", lambda p: {"select": lambda files: (files[1:], [])}),
    "unresolved": ("resolve must keep", lambda p: {"resolve": lambda o, files: replace(o, seed=o.seed + 1)}),
    "own options": ("a subclass of", lambda p: {"Config": SimpleNamespace}),
    "no reasons": ("those of duplicates", lambda p: {"drop_reasons": {}}),
    "nothing read": ("read must yield documents", lambda p: {"read": lambda file, options: iter(())}),
    "skip": ("no text for", lambda p: {"build_document": lambda *_: skip("too short")}),
    "random": ("the same document", lambda p: {"build_document": change_documents(p, "source", itertools.count())}),
    "lambda": (
        "pass between processes",
        lambda p: {"build_document": change_documents(p, "counter_values", [lambda: 0])},
    ),
    "digest": ("SHA-256", lambda p: {"build_document": change_documents(p, "digest", itertools.repeat(b"short"))}),
    "size": ("must have a size", lambda p: {"build_document": change_documents(p, "size", itertools.repeat(0))}),
    "clash": ("every data set has", lambda p: {"build_columns": lambda docs: {"licence": docs}}),
    "short column": ("another length", lambda p: {"build_columns": lambda docs: {"tempo": docs[1:]}}),
    "damage": ("of a damaged file", lambda p: {"build_document": crash_on_damage(p)}),
    "few sketches": ("a row for each", lambda p: change_sketches(p, lambda inputs, digests: (inputs[1:], digests[1:]))),
    "one key": (
        "equal digests",
        lambda p: change_sketches(p, lambda inputs, digests: (inputs, digests[:1] * len(digests))),
    ),
    "batch": ("depends on its batch", lambda p: {"compute_sketches": mark_sketches(p)}),
    "no text": ("must be text", lambda p: {"summary": lambda report: 3}),
}


@pytest.mark.parametrize("fault", ["", *PREPARATION_FAULTS])
def test_a_preparation_that_breaks_its_contract_fails(beeps, fault, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.beep" for number in range(3)]
    for path, melody in zip(paths, MELODIES, strict=True):
        beeps.save(Item(melody), path)
    if not fault:
        check_preparation("beeps", paths)
        return
    words, build = PREPARATION_FAULTS[fault]
    part = preparation.get_preparation("beeps")
    faults = build(part)
    monkeypatch.setattr(preparation, "get_preparation", lambda name: spoil(part, **faults))
    with pytest.raises(AssertionError, match=words):
        check_preparation("beeps", paths)


def skip(reason):
    raise preparation.Skip(reason)


def change_documents(part, name, values):
    """Return a build_document whose documents have the next of these values in a field."""
    values = itertools.cycle(values) if isinstance(values, list) else iter(values)

    def build_document(raw, options, counters):
        document, sketch_input = part.build_document(raw, options, counters)
        value = next(values)
        return replace(document, **{name: str(value) if name == "source" else value}), sketch_input

    return build_document


def crash_on_damage(part):
    def build_document(raw, options, counters):
        return never() if b"damaged" in raw.data else part.build_document(raw, options, counters)

    return build_document


def change_sketches(part, change):
    return {
        "compute_sketches": lambda inputs, digests, should_find_near: part.compute_sketches(
            *change(inputs, digests), True
        )
    }


def mark_sketches(part):
    def compute_sketches(inputs, digests, should_find_near):
        marks = np.full((len(digests), 1), len(digests), np.uint8)
        return replace(part.compute_sketches(inputs, digests, should_find_near), signatures_BP=marks)

    return compute_sketches


class FaultyFeatures:
    """Features of melodies with one fault at a time."""

    def __init__(self, fault: str = ""):
        self.KEY, self.fault = "" if fault == "nameless" else "pitches-1", fault

    def build_extractor(self):
        def extract(values):
            rows = [[np.mean(value), len(value)] for value in values]
            x = np.array(rows, np.float64 if self.fault == "double" else np.float32).reshape(len(rows), 2)
            if self.fault == "empty" and not rows:
                return np.zeros((0, 3), np.float32)
            return x / 0 if self.fault == "infinite" else x - x.mean(0) if self.fault == "centred" and len(x) else x

        return extract

    def compute_coarse_embedding(self, value):
        return np.array(value if self.fault == "ragged" else value[:1], np.float32)


@pytest.mark.filterwarnings("ignore:.*by zero")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nameless", "KEY"),
        ("double", "float32"),
        ("infinite", "finite"),
        ("empty", "no rows of the same width"),
        ("centred", "depend on its batch"),
        ("ragged", "rows of one size"),
    ],
)
def test_features_that_break_their_contract_fail(fault, words):
    check_features(FaultyFeatures(), MELODIES)
    with pytest.raises(AssertionError, match=words):
        check_features(FaultyFeatures(fault), MELODIES)


class FaultyTextEncoder:
    """The text encoder `words` with one fault at a time."""

    def __init__(self, fault: str = ""):
        self.fault, self.inner, self.calls = fault, words.build(words.Config()), 0

    @property
    def width(self):
        return self.inner.width

    def compute_offsets(self, text):
        offsets = self.inner.compute_offsets(text)
        return [(a, b + 90) for a, b in offsets] if self.fault == "offsets" else offsets

    def encode(self, texts):
        states = self.inner.encode(texts)
        self.calls += 1
        match self.fault:
            case "dropped":
                return states[:-1]
            case "extra":
                return [np.concatenate([s, s[:1]]) for s in states]
            case "double":
                return [s.astype(np.float64) for s in states]
            case "loud":
                return [2 * s for s in states]
            case "batch":
                return [s if len(texts) > 1 else -s for s in states]
            case "position":
                return [s * (1 + 1e-4 * n) for n, s in enumerate(states)]
        return states


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dropped", "for every text"),
        ("extra", "offsets"),
        ("double", "float32"),
        ("loud", "root mean square"),
        ("batch", "depend on their batch"),
        ("position", "equal texts"),
        ("offsets", "are not those"),
    ],
)
def test_a_text_encoder_that_breaks_its_contract_fails(fault, words):
    check_text_encoder(FaultyTextEncoder())
    with pytest.raises(AssertionError, match=words):
        check_text_encoder(FaultyTextEncoder(fault))


class FaultyConditioner:
    """Numbers as a condition, with one fault at a time."""

    def __init__(self, fault: str = ""):
        self.fault = fault

    @property
    def spec(self):
        return {"two kinds": ConditionSpec(vector=2, field=1), "wide": ConditionSpec(vector=3)}.get(
            self.fault, ConditionSpec(vector=2)
        )

    def get_value(self, item):
        return None if self.fault == "blind" else item.meta.get("tempo")

    def encode(self, values):
        rows = [[0.0, 0.0] if value is None else [value, 1.0] for value in values]
        if self.fault == "default":
            rows = [[0.0, 1.0] if value is None else row for value, row in zip(values, rows, strict=True)]
        if self.fault == "no flag":
            rows = [[row[0], 0.0] for row in rows]
        vector = torch.tensor(rows)
        if self.fault == "batch":
            vector = vector * len(values)
        return Condition(vector=vector, field=vector[:, :, None] if self.fault == "another kind" else None)

    def parse(self, text):
        try:
            return float(text)
        except ValueError:
            return never() if self.fault == "crash" else fail(f"{text!r} is no number")

    def format(self, value):
        return f"{value:.0f}" if self.fault == "rounds" else f"{value:.9g}"

    def pack(self, value, save_blob):
        return round(value) if self.fault == "packs less" else value

    def unpack(self, stored, load_blob):
        return stored


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("two kinds", "one kind"),
        ("wide", "of width 3"),
        ("blind", "no item has a value"),
        ("default", "must be zero"),
        ("no flag", "as if it were not given"),
        ("batch", "encoded by its batch"),
        ("another kind", "nothing else"),
        ("crash", "parse of an invalid text"),
        ("rounds", "different names"),
        ("packs less", "is unpacked as"),
    ],
)
def test_a_conditioner_that_breaks_its_contract_fails(fault, words):
    items = [Item("", meta={"tempo": 1.25}), Item(""), Item("", meta={"tempo": 0.0}), Item("", meta={"tempo": 1.4})]
    check_conditioner(FaultyConditioner(), items, ["7"])
    with pytest.raises(AssertionError, match=words):
        check_conditioner(FaultyConditioner(fault), items, ["7"])


def make_check(score: float, has_passed: bool, reason: str = "why") -> Any:
    return lambda value, config: CheckResult(score, has_passed, reason)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"media": ()}, "media must name"),
        ({"media": ("smells",)}, "not a medium"),
        ({"check": lambda value, config: True}, "return a CheckResult"),
        ({"check": make_check(1.5, True)}, "from 0 to 1"),
        ({"check": make_check(0.5, True)}, "exactly if its score is 1"),
        ({"check": make_check(1.0, True, "")}, "have a reason"),
        ({"check": lambda value, config: CheckResult(next(SCORES), False, "why")}, "same result"),
    ],
)
def test_a_check_that_breaks_its_contract_fails(beeps, faults, words):
    module = plugins.find_part("check", "lively")
    check_check(module, [*MELODIES, ()])
    with pytest.raises(AssertionError, match=words):
        check_check(spoil(module, **faults), MELODIES)


SCORES = (0.001 * n for n in itertools.count())
