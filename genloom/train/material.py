"""What a run learns from, encoded and kept in its folder: a stream of symbols, or samples of one size.

This is the one place where the two part: the codec's space decides.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from genloom import plugins
from genloom.likelihood import BITS, LOSS
from genloom.model import Design, Model, open_model, prompts_of
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import made
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import forecast, reuse, samples, sealed
from genloom.train.corpus import SYMBOLS, Blocks, apart_of, folds_of, mixed, read_stream, write_stream
from genloom.train.events import TOKENS, Event, Stage, Unit
from genloom.train.forecast import CHECKS
from genloom.train.job import Job
from genloom.train.samples import Rows, Samples
from genloom.types import Batch, Codec, TextEncoder, Tokens

COUNTED_UP_TO = 8_000_000  # symbols that the floor is counted from
TELL_EVERY = 30.0  # seconds of encoding
FEW = 16  # samples a step where a model is tuned on a few

Batches = Callable[[int], Batch]  # the batch of a step


@dataclass(frozen=True)
class Stream:
    """Documents one after the other, read in blocks."""

    codec: Codec
    symbols: np.ndarray
    dataset: Dataset

    unit = TOKENS
    measure = BITS
    often, plenty = 4, 40  # readings from which dropout pays (docs/log.md), and from which there is too little text
    teaches = 1  # tokens that each counts as, where sizes are chosen by what is read
    check, final = 24_000, 200_000  # bytes of held-out text during a run, and at its end

    def __len__(self) -> int:
        return len(self.symbols)

    def batches(self, job: Job, model: Model) -> Batches:
        learned = self.symbols[apart_of(model.parts) :]
        return Blocks(learned, job.rows, job.design.length, job.plan.seed, folds_of(model.parts))

    def fit(self, network: nn.Module) -> None:
        """Let a network that counts symbols do so."""
        if (fit := getattr(network, "fit", None)) is not None:
            fit(np.asarray(self.symbols))

    def kept(self, job: Job, model: Model) -> int:
        """Bytes that a step keeps of each row for its backward pass."""
        return forecast.kept_of_symbols(job.design, job.plan)

    @property
    def looked(self) -> int:
        """Tokens that all looks at held-out text read; windows overlap by half."""
        held = self.dataset.size("val")
        return 2 * (CHECKS * min(self.check, held) + min(self.final, held))

    def held_out(self, limit: int) -> Sequence[str]:
        """Text that stands for all that is held out, up to about `limit` characters; a greater limit adds to it."""
        chosen, room = [], limit
        for item in self.dataset.passages("val", limit):
            if room <= 0:
                break
            chosen.append(item.value[:room])
            room -= len(item.value)
        return chosen

    def floor(self, design: Design, order: int = 5) -> float:
        """Bits per byte that counting the codec's symbols alone reaches on what the run ends with.

        By the counts under the network, or else by n-grams of this order. 0 where nothing is held out.
        """
        held = [self.codec.encode(text) for text in self.held_out(self.final)]
        size = sum(len(self.codec.decode(ids).encode()) for ids in held)
        if not size:
            return 0.0
        space = self.codec.space
        assert isinstance(space, Tokens)
        module = plugins.find("network", design.network)
        if counting := getattr(module, "counting", None):
            config = made(module.Config, design.network_settings, "network")
            counts = counting(config, space.vocab, np.asarray(self.symbols))
        else:
            counts = KneserNey.fit(np.asarray(self.symbols[:COUNTED_UP_TO]), space.vocab, order)
        nats = sum(-counts.log_prob(np.append(space.stop, ids))[1:].sum() for ids in held)
        return float(nats / size / log(2))


@dataclass(frozen=True)
class Pool:
    """Samples of one size, drawn one by one, with the states of their prompts where the model is given them."""

    codec: Codec
    rows: Rows
    prompts: TextEncoder | None
    dataset: Dataset
    unit: Unit

    measure = LOSS
    often, plenty = float("inf"), 400  # readings; noise and codecs make samples new each time
    teaches = 256  # as many parameters a sample do well as for so many tokens (docs/scaling.md)
    epochs = 200  # readings at most where a model is tuned and only the time was given
    check, final = 256, 1024  # held-out samples during a run, and at its end

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, job: Job, model: Model) -> Batches:
        return Samples(self.rows, job.rows, job.plan.seed, job.unprompted)

    def fit(self, network: nn.Module) -> None:
        pass

    def shaped(self, job: Job) -> Job:
        """The job of a model that is tuned, with as many samples a step as do."""
        return replace(job, rows=job.rows or FEW)

    def size(self, job: Job, model: Model) -> int:
        """Rows of an epoch."""
        return len(self)

    def warnings(self, job: Job, model: Model) -> list[str]:
        return []

    def kept(self, job: Job, model: Model) -> int:
        """Bytes that a step keeps of each row for its backward pass."""
        few = self.rows.batch(np.arange(min(2, len(self))))
        return forecast.kept_of_samples(model.objective, dict(model.parts.items()), few, job.plan)

    @property
    def looked(self) -> int:
        """Samples that all looks at held-out ones read."""
        held = self.dataset.count("val")
        return CHECKS * min(self.check, held) + min(self.final, held)

    def held_out(self, limit: int) -> Batch | tuple[()]:
        """Up to `limit` held-out samples."""
        return samples.held_out(self.dataset, self.codec, self.prompts, limit)

    def floor(self, design: Design) -> float:
        return 0.0


Material = Stream | Pool


def prepared(folder: Path, workspace: Workspace, dataset: Dataset, design: Design) -> Generator[Event, None, Material]:
    """What the data set is for a new model of this design, encoded if it is not yet; yields how far it is.

    Raises ValueError for prompts beside what has none.
    """
    codec = codec_for(folder, workspace, dataset, design)
    if samples.fixed(codec.space):
        return (yield from pooled(folder, dataset, codec, design))
    if design.prompts:
        raise ValueError(
            "Text is read as one stream, with no prompts beside it. Leave them away: --set prompts.name=''"
        )
    assert isinstance(codec.space, Tokens)
    if not sealed.whole(folder):
        write_stream(mixed(values(dataset), dataset.digest), codec, folder / SYMBOLS)
        sealed.seal(folder, [SYMBOLS])
    return Stream(codec, read_stream(folder / SYMBOLS, codec.space.vocab), dataset)


def pooled(folder: Path, dataset: Dataset, codec: Codec, design: Design) -> Generator[Event, None, Pool]:
    """The samples of a data set, encoded once; yields now and then how many are done."""
    prompts = prompts_of(design)
    if not sealed.whole(folder):
        key = reuse.key_of(dataset, codec, design)
        if not reuse.taken(folder, key):
            count, last = dataset.count("train"), time.perf_counter()
            for done in samples.write_rows(samples.encoded(dataset.documents("train"), codec, prompts), folder):
                if time.perf_counter() - last > TELL_EVERY:
                    last = time.perf_counter()
                    yield Stage(f"Encoded {done:,} of {count:,}")
        reuse.offer(folder, key)
        sealed.seal(folder, samples.FILES)
    unit = Unit("samples", called(design.medium))
    return Pool(codec, samples.read_rows(folder, codec.space, prompts), prompts, dataset, unit)


def called(medium: str) -> str:
    """How people call several things of a medium: pictures; where it does not say, as it is called itself."""
    return str(getattr(plugins.find("medium", medium), "plural", medium))


def codec_for(folder: Path, workspace: Workspace, dataset: Dataset, design: Design) -> Codec:
    """The codec fitted to the training data, kept in the run's folder; a codec may be made from a trained model."""
    module = plugins.find("codec", design.codec)
    if sealed.told(folder):  # they are written last
        return module.Codec.load(folder / "codec")
    config = made(module.Config, design.codec_settings, "codec")
    if of_model := getattr(module, "of_model", None):
        codec = of_model(open_model(workspace, config.model), values(dataset), config)
    else:
        codec = module.Codec.fit(values(dataset), config)
    codec.save(folder / "codec")
    return codec


def values(dataset: Dataset) -> Generator[Any]:
    return (item.value for item in dataset.documents("train"))
