"""Files of checkpoints: one of whole tensors, or a folder with a file of each process's shards.

A folder is written and read by torch.distributed.checkpoint in its format of safetensors files, which say in their
headers where each shard begins; nothing is pickled. Shards that were saved by some processes can be read by others.
That library is imported where it is used: it takes as long as torch, and most trainings have no shards.
"""

import hashlib
import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor

from genloom.store import mirror
from genloom.store.files import hash_file, translate_errors, write_atomic

WHOLE_SUFFIX, SHARDS_SUFFIX = ".safetensors", ".shards"
_SCALAR = "@scalar"  # ends the names of numbers, which are stored as a row of one


def write_whole(tensors: Mapping[str, Tensor], path: Path) -> dict[str, str]:
    """Write whole tensors to one file, and return its digest by its name."""
    data = as_bytes({n: t.detach().cpu().contiguous() for n, t in clone_tied_tensors(tensors).items()})
    path = path.with_suffix(WHOLE_SUFFIX)
    write_atomic(path, data)
    return {path.name: hashlib.sha256(data).hexdigest()}


def read_whole(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint of either kind as whole tensors."""
    if path.suffix == WHOLE_SUFFIX:
        return load_file(path)
    tensors = {name: torch.empty(size, dtype=dtype) for name, (size, dtype) in read_sizes(path).items()}
    read_shards(tensors, path, is_alone=True)
    return tensors


def write_shards(tensors: Mapping[str, Tensor], folder: Path, channel: Any = None) -> None:
    """Write this process's shards into a folder; all processes of a channel (`ProcessGroup`) call it."""
    import torch.distributed.checkpoint as dcp

    with translate_errors(folder), ignore_notes(), raise_own_error():
        writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
        dcp.save(to_rows(clone_tied_tensors(tensors)), storage_writer=writer, process_group=channel)


def read_shards(tensors: Mapping[str, Tensor], folder: Path, is_alone: bool = False) -> None:
    """Fill tensors, whole ones or shards, with a checkpoint; unless `is_alone`, all processes call it."""
    import torch.distributed.checkpoint as dcp

    with ignore_notes(), raise_own_error():
        reader = dcp.HuggingFaceStorageReader(str(folder))
        dcp.load(to_rows(tensors), storage_reader=reader, no_dist=is_alone)


def read_sizes(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Return the size and the type of each tensor of a checkpoint in shards."""
    import torch.distributed.checkpoint as dcp

    metadata = dcp.HuggingFaceStorageReader(str(folder)).read_metadata()
    sizes = {}
    for name, stored in metadata.state_dict_metadata.items():
        assert isinstance(stored, dcp.metadata.TensorStorageMetadata)
        size = torch.Size(()) if name.endswith(_SCALAR) else stored.size
        sizes[name.removesuffix(_SCALAR)] = size, stored.properties.dtype
    return sizes


def copy_to_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors, whole ones or shards, to the memory of this machine."""
    return {n: t.detach().clone() if t.device.type == "cpu" else t.detach().cpu() for n, t in tensors.items()}


def to_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, with views of one row for numbers, which the format has no place for."""
    return {n if t.ndim else n + _SCALAR: t.detach() if t.ndim else t.detach().view(1) for n, t in tensors.items()}


def clone_tied_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Clone tensors that share storage under two names (tied weights), which safetensors refuses."""
    seen_storages: set[int] = set()
    untied_tensors = {}
    for name, tensor in tensors.items():
        held: Any = tensor
        if hasattr(held, "to_local"):  # of a shard, whose class is imported only with them
            held = held.to_local()
        storage = held.untyped_storage().data_ptr()
        untied_tensors[name] = tensor.clone() if storage in seen_storages else tensor
        seen_storages.add(storage)
    return untied_tensors


def find_damage(path: Path, digests: Mapping[str, str]) -> str:
    """Return what is wrong with the files of a checkpoint, or ""."""
    if not path.exists():
        return f"{path.name} is missing"
    for name, digest in digests.items():
        file = path / name if path.suffix == SHARDS_SUFFIX else path
        if not file.exists():
            return f"{path.name}/{name} is missing"
        if hash_file(file) != digest:
            shown = path.name if file == path else f"{path.name}/{name}"
            return f"{shown} is damaged (its digest does not match)"
    return ""


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint of either kind, and first its metadata, without which it does not count."""
    mirror.remove_path(path.with_suffix(".json"))
    mirror.remove_path(path)


@contextmanager
def raise_own_error() -> Generator[None]:
    """Raise the error of this process in place of torch's record of those of all, which is no Exception."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        failures = {number: failure for number, (failure, _) in error.failures.items()}
        number = dist.get_rank() if dist.is_initialized() else 0
        if number in failures:
            raise failures[number] from None
        raise RuntimeError(f"Rank {min(failures)} failed: {failures[min(failures)]}") from None


@contextmanager
def ignore_notes() -> Generator[None]:
    """Keep torch's notes on its own internals from people."""
    logger = logging.getLogger("torch.distributed.checkpoint")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
