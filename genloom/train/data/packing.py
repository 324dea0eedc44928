"""Documents packed into rows of one length, with loss masks and segment ids.

Shape letters: B rows, L length, N tokens of all documents.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genloom.capabilities import AugmentingCodec, OutputHeadNetwork
from genloom.codecs import chat_template
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.store.files import open_replacement
from genloom.train.data.order import EpochOrder
from genloom.types import Batch, Codec, Item, TokenSpace

DOCUMENT_FILES = ("documents.ids", "documents.counts", "documents.ends")  # ids, loss masks, ends


def can_pack(model: Model) -> bool:
    """Return whether the model's networks can keep the documents of a row apart."""
    is_causal = all(spec.is_causal for spec in model.objective.network_specs.values())
    return is_causal and all(isinstance(part, OutputHeadNetwork) for part in model.parts.values())


def tokenize_document(codec: Codec, item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Return a document's token ids (N, int64) and its loss mask (N, bool).

    The mask covers the assistant's turns of a conversation, and everything but BOS of a plain text.
    """
    if messages := item.meta.get("turns"):
        return chat_template.render_chat(codec, messages, add_generation_prompt=False)  # ty: ignore[invalid-argument-type]  it checks for a template
    return add_boundaries(codec, codec.encode(item.value))


def add_boundaries(codec: Codec, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the token ids of a plain text between BOS and EOS (N, int64), and its loss mask: all but BOS."""
    space = codec.space
    assert isinstance(space, TokenSpace)
    ids = np.concatenate([[space.bos], ids, [space.eos]]).astype(np.int64)
    return ids, np.arange(len(ids)) > 0


def tokenize_variants(codec: Codec, item: Item, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the documents to train on of an item: several, if the codec encodes it in several ways."""
    if not isinstance(codec, AugmentingCodec):
        return [tokenize_document(codec, item)]
    space = codec.space
    assert isinstance(space, TokenSpace)
    return [
        (np.concatenate([[space.bos], ids, [space.eos]]), np.concatenate([[False], loss_mask, [True]]))
        for ids, loss_mask in codec.encode_variants(item.value, rng)
    ]


@dataclass(frozen=True)
class EncodedDocuments:
    """Encoded documents, concatenated and memory-mapped; document i is tokens ends[i - 1] to ends[i]."""

    ids: np.ndarray  # N, int32
    loss_mask: np.ndarray  # N, bool
    ends: np.ndarray

    @staticmethod
    def from_pairs(documents: Iterable[tuple[np.ndarray, np.ndarray]]) -> "EncodedDocuments":
        pairs = list(documents)
        ids, loss_mask = (np.concatenate([pair[i] for pair in pairs]) if pairs else np.zeros(0) for i in (0, 1))
        ends = np.cumsum([len(ids) for ids, _ in pairs], dtype=np.int64)
        return EncodedDocuments(ids.astype(np.int32), loss_mask.astype(bool), ends)

    @property
    def has_predictions(self) -> bool:
        """Whether any document has a token that is predicted."""
        return any(True for _ in iter_spans(self, max(len(self.ids), 2)))

    @staticmethod
    def load(folder: Path) -> "EncodedDocuments":
        ids, loss_mask = (
            open_memmap(folder / name, dtype) for name, dtype in zip(DOCUMENT_FILES, (np.int32, bool), strict=False)
        )
        return EncodedDocuments(ids, loss_mask, np.fromfile(folder / "documents.ends", np.int64))


def open_memmap(path: Path, dtype: type) -> np.ndarray:
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)


def write_documents(documents: Iterable[tuple[np.ndarray, np.ndarray]], folder: Path) -> None:
    """Write documents for `EncodedDocuments.load`, one in memory at a time; the file of ends comes last."""
    ends, end = [], 0
    with (
        open_replacement(folder / "documents.ids") as ids_temp,
        open_replacement(folder / "documents.counts") as mask_temp,
        open(ids_temp, "wb") as ids_file,
        open(mask_temp, "wb") as mask_file,
    ):
        for ids, loss_mask in documents:
            ids_file.write(ids.astype(np.int32).tobytes())
            mask_file.write(loss_mask.astype(bool).tobytes())
            end += len(ids)
            ends.append(end)
    with open_replacement(folder / "documents.ends") as ends_temp:
        np.array(ends, np.int64).tofile(ends_temp)


@dataclass(frozen=True)
class DocumentSpan:
    """A part of a document in a row: tokens `start` to `end` of all documents."""

    start: int
    end: int


def iter_spans(documents: EncodedDocuments, length: int) -> Iterator[DocumentSpan]:
    """Yield whole documents, split where they are longer than a row; every token of the loss mask is predicted once.

    Each span of a split document begins with the last token of the span before, as context that is not predicted. Spans
    without predicted tokens are dropped.
    """
    document_start = 0
    for end in documents.ends.tolist():
        for span_start in range(document_start, max(end - 1, document_start), length - 1):
            span_end = min(span_start + length, end)
            if documents.loss_mask[span_start + 1 : span_end].any():
                yield DocumentSpan(span_start, span_end)
        document_start = end


def pack_best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Pack spans of these sizes into few rows of at most `length` tokens: best fit decreasing.

    Each row lists the indices of its spans. At most 22 % more rows than the best packing (Johnson 1974).
    """
    rows: list[list[int]] = []
    rows_by_capacity: dict[int, list[int]] = {}
    capacities: list[int] = []  # the keys of `rows_by_capacity`, sorted
    for index in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        position = bisect_left(capacities, sizes[index])
        if position == len(capacities):
            rows.append([])
            row, capacity = len(rows) - 1, length
        else:
            capacity = capacities[position]
            row = rows_by_capacity[capacity].pop()
            if not rows_by_capacity[capacity]:
                del rows_by_capacity[capacity], capacities[position]
        rows[row].append(index)
        remaining = capacity - sizes[index]
        if remaining not in rows_by_capacity:
            rows_by_capacity[remaining] = []
            insort(capacities, remaining)
        rows_by_capacity[remaining].append(row)
    return rows


class PackedBatches:
    """Batches of packed rows; every epoch reads each row once, in an order drawn from (seed, epoch).

    With `is_one_per_row`, each row holds one span, padded on the right, for networks without segment masks.
    """

    def __init__(
        self,
        documents: EncodedDocuments,
        batch_size: int,
        pack_length: int,
        eos: int,
        seed: int = 0,
        is_one_per_row: bool = False,
        folds: Sequence[tuple[int, int]] = (),
    ):
        """With `folds`, sections of the tokens by begin and end, all rows of step s lie in fold s mod their number."""
        self.documents, self.batch_size, self.pack_length, self.eos = documents, batch_size, pack_length, eos
        self.seed = seed
        self.spans = list(iter_spans(documents, pack_length))
        if not self.spans:
            raise GenloomError("train.empty_documents")
        sizes = [span.end - span.start for span in self.spans]
        self.packs = [[n] for n in range(len(sizes))] if is_one_per_row else pack_best_fit(sizes, pack_length)
        self.is_one_per_row = is_one_per_row
        self.folds = [self.list_packs(*fold) for fold in folds] or [np.arange(len(self.packs))]
        self.orders = [EpochOrder.shuffle(len(fold), seed, n, len(self.folds)) for n, fold in enumerate(self.folds)]

    def list_packs(self, begin: int, end: int) -> np.ndarray:
        """Return the packs inside a fold; all packs, if there are too few documents to fill it."""
        is_inside = [begin <= self.spans[pack[0]].start and self.spans[pack[-1]].end <= end for pack in self.packs]
        return np.flatnonzero(is_inside) if any(is_inside) else np.arange(len(self.packs))

    @property
    def num_cut(self) -> int:
        """Documents longer than a row."""
        return int((np.diff(self.documents.ends, prepend=0) > self.pack_length).sum())

    def __call__(self, step: int) -> Batch:
        return self.read_rows(step, slice(0, self.batch_size))

    def read_rows(self, step: int, rows: slice) -> Batch:
        """Return some rows of a step."""
        return self.build_batch(self.draw_packs(step)[rows])

    def draw_packs(self, step: int) -> np.ndarray:
        """Return the indices of the packs of a step, one per row."""
        fold_step, fold = divmod(step, len(self.folds))
        return self.folds[fold][self.orders[fold](fold_step * self.batch_size + np.arange(self.batch_size))]

    def measure_sizes(self, packs_B: np.ndarray) -> np.ndarray:
        """Return the number of tokens in each of these packs."""
        return np.array([sum(self.spans[n].end - self.spans[n].start for n in self.packs[index]) for index in packs_B])

    def find_documents(self, packs_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of the document that each of these packs begins with, and where in the document."""
        starts_B = np.array([self.spans[self.packs[index][0]].start for index in packs_B], np.int64)
        documents_B = np.searchsorted(self.documents.ends, starts_B, side="right")
        return documents_B, starts_B - np.append(0, self.documents.ends)[documents_B]

    def build_batch(self, packs_B: np.ndarray) -> Batch:
        """Build the rows of these packs."""
        x_BL = np.full((len(packs_B), self.pack_length), self.eos, np.int64)
        mask_BL = np.zeros((len(packs_B), self.pack_length), bool)
        segments_BL = np.zeros((len(packs_B), self.pack_length), np.int64)
        lengths_B = np.zeros(len(packs_B), np.int64)
        for row, index in enumerate(packs_B):
            lengths_B[row] = self.fill_row(self.packs[index], x_BL[row], mask_BL[row], segments_BL[row])
        x, mask, segments, lengths = map(torch.from_numpy, (x_BL, mask_BL, segments_BL, lengths_B))
        if self.is_one_per_row:
            return Batch(x, mask=mask, lengths=lengths)
        return Batch(x, mask=mask, segments=segments)

    def fill_row(self, pack: list[int], x_L: np.ndarray, mask_L: np.ndarray, segments_L: np.ndarray) -> int:
        """Fill a row with its spans; padding is a segment of its own. Return the number of tokens used."""
        position = 0
        segments_L[:] = len(pack)
        for number, span in enumerate(self.spans[n] for n in pack):
            size = span.end - span.start
            x_L[position : position + size] = self.documents.ids[span.start : span.end]
            mask_L[position + 1 : position + size] = self.documents.loss_mask[span.start + 1 : span.end]
            segments_L[position : position + size] = number
            position += size
        return position
