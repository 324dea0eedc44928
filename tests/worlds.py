"""Small workspaces: tales of a few repeated words, coloured tiles, and jobs that learn them in seconds."""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from genloom.codecs import notes, pixels
from genloom.media import image
from genloom.model import Design, Model, build_networks, build_objective, save_model
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunResult
from genloom.train.job import Job
from genloom.train.run import TrainRequest, train_model
from genloom.types import Codec

torch.set_num_threads(1)

WHO = ("The old king", "A young crow", "Zoë", "My naïve brother", "The 狐", "Nobody")
DID = ("saw", "sang to", "forgot", "followed", "wrote for", "wept over")
WHAT = ("the sea", "a red boat", "her letters", "the café", "a 😀 mask", "the last bell")


def make_tales(count: int, seed: int = 0, lines: int = 12) -> list[str]:
    rng = random.Random(seed)
    stories = [[f"{rng.choice(WHO)} {rng.choice(DID)} {rng.choice(WHAT)}." for _ in range(lines)] for _ in range(count)]
    return [f"Tale {n}\n\n" + "\n".join(sentences) + "\n" for n, sentences in enumerate(stories)]


def create_dataset(workspace: Workspace, name: str = "tales", documents: int = 60, seed: int = 0) -> Dataset:
    """Create a data set of tales: every sixth is for validation, every sixth for the test."""
    texts = make_tales(documents, seed)
    splits = [{0: "val", 1: "test"}.get(n % 6, "train") for n in range(len(texts))]
    columns = {
        "id": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "text": texts,
        "source": [f"tales/{n}.txt" for n in range(len(texts))],
        "licence": ["CC0-1.0"] * len(texts),
        "split": splits,
        "language": ["en"] * len(texts),
        "quality": [1.0] * len(texts),
        "bytes": [len(text.encode()) for text in texts],
    }
    return store_columns(workspace, name, columns)


def store_columns(workspace: Workspace, name: str, columns: dict[str, Any]) -> Dataset:
    """Create a data set with these columns in one part."""
    staged = workspace.create_dataset(name)
    with staged as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"licences": {"CC0-1.0": len(columns["id"])}}))
    return staged.result


def create_mixed_dataset(workspace: Workspace, count: int = 24, lines: int = 200, name: str = "kinds") -> Dataset:
    """Create a data set of tales, which are easy to predict, followed by twice as many bytes of random digits."""
    rng = random.Random(0)
    easy = make_tales(count, lines=lines)
    hard = ["".join(rng.choices("0123456789\n", k=len(tale))) for tale in easy for _ in range(2)]
    texts = easy + hard
    columns = {
        "id": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "text": texts,
        "source": [f"{'easy' if n < len(easy) else 'hard'}/{n}.txt" for n in range(len(texts))],
        "licence": ["CC0-1.0"] * len(texts),
        "split": [{0: "val", 1: "test"}.get(n % 3, "train") for n in range(len(texts))],
        "bytes": [len(text.encode()) for text in texts],
    }
    return store_columns(workspace, name, columns)


COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 230)}


def create_image_dataset(
    workspace: Workspace,
    name: str = "tiles",
    count: int = 60,
    side: int = 8,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
    sorted_by_colour: bool = False,
) -> Dataset:
    """Create a data set of one-coloured images with captions: a sixth is for validation, a sixth for the test."""
    rng, names = np.random.default_rng(0), list(colours)
    named = [names[n % len(names)] for n in range(count)]
    images = [np.array(colours[colour]) + rng.integers(-20, 20, (side, side, 3)) for colour in named]
    splits = [{0: "val", 1: "test"}.get(n // len(names) % 6, "train") for n in range(count)]
    if sorted_by_colour:
        order = sorted(range(count), key=named.__getitem__)
        named, images, splits = [named[n] for n in order], [images[n] for n in order], [splits[n] for n in order]
    content = [image.encode(x.clip(0, 255).astype(np.uint8)) for x in images]
    columns = {
        "id": [hashlib.sha256(data).hexdigest() for data in content],
        "text": [f"a {colour} tile" for colour in named],
        "source": [f"{name}/{n}.png" for n in range(count)],
        "licence": ["CC0-1.0"] * count,
        "split": splits,
        "bytes": [len(data) for data in content],
        "content": content,
    }
    staged = workspace.create_dataset(name)
    with staged as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"medium": "image", "licences": {"CC0-1.0": count}}))
    return staged.result


def build_image_job(data: Dataset, steps: int = 12, **changes: str) -> Job:
    """Build a small job on images with prompts; changes are written as for `build_job`."""
    tables: dict[str, Any] = {
        "name": data.name,
        "data": data.name,
        "digest": data.digest,
        "batch_size": 8,
        "medium": "image",
        "codec": {"name": "pixels", "size": 8},
        "objective": {"name": "flow"},
        "network": {"name": "dit", "width": 32, "depth": 2, "head_width": 16},
        "text_encoder": {"name": "words", "width": 16},
        "plan": {
            "steps": steps,
            "warmup": 2,
            "optimizer": {"lr_matrix": 0.02, "lr_embedding": 0.02, "lr_vector": 0.01},
        },
    }
    return Job.from_tables(apply_overrides(tables, {key.replace("__", "."): value for key, value in changes.items()}))


def build_job(data: Dataset, steps: int = 12, **changes: str) -> Job:
    """Build a small job; changes are written with two underscores for a dot: plan__ema_decay="0.9"."""
    tables: dict[str, Any] = {
        "name": data.name,
        "data": data.name,
        "digest": data.digest,
        "batch_size": 4,
        "context_length": 32,
        "codec": {"name": "bytes"},
        "objective": {"name": "autoregressive"},
        "network": {"name": "transformer", "width": 16, "depth": 1, "heads": 2},
        "plan": {
            "steps": steps,
            "warmup": 2,
            "optimizer": {"lr_matrix": 0.02, "lr_embedding": 0.02, "lr_vector": 0.01},
        },
    }
    return Job.from_tables(apply_overrides(tables, {key.replace("__", "."): value for key, value in changes.items()}))


def start_run(workspace: Workspace, planned: Job) -> str:
    """Create a run of the job without training it, and return its id."""
    folder = workspace.create_run(planned.name)
    planned.save(folder / "job.toml")
    return folder.name


def resume_run(workspace: Workspace, run: str, **more: Any) -> Iterator[Event]:
    return train_model(workspace, TrainRequest(run, should_resume=True, **more))


def finish_run(workspace: Workspace, planned: Job, **more: Any) -> RunResult:
    *_, last = resume_run(workspace, start_run(workspace, planned), **more)
    assert isinstance(last, RunResult)
    return last


@cache
def trained_workspace(folder: Path) -> Workspace:
    """Return a workspace with two trained models of tales: `tales`, autoregressive, and `masks`, masked."""
    workspace = Workspace(folder)
    data = create_dataset(workspace)
    small = {"network__width": "32", "network__depth": "2", "batch_size": "16", "context_length": "48"}
    finish_run(workspace, build_job(data, 200, **small))
    finish_run(workspace, build_job(data, 60, name="masks", objective__name="masked", **small))
    return workspace


def serving_workspace(folder: Path) -> Workspace:
    """Return a workspace with `tales`, which chats and reads 512 bytes, `masks`, masked, and the images `blots`."""
    workspace = Workspace(folder)
    data = create_dataset(workspace)
    small = {"network__width": "64", "network__depth": "1", "batch_size": "8"}
    finish_run(workspace, build_job(data, 60, context_length="512", **small))
    finish_run(workspace, build_job(data, 20, name="masks", objective__name="masked", context_length="48", **small))
    mark_chat_tuned(workspace, "tales")
    create_blots(workspace)
    return workspace


def create_blots(workspace: Workspace, side: int = 16) -> str:
    """Save an untrained image model, whose images are all far apart, and return its ref."""
    design = Design(
        codec="pixels",
        objective="flow",
        network="dit",
        medium="image",
        codec_settings={"size": side},
        network_settings={"width": 32, "depth": 2, "head_width": 16, "patch_size": 4},
        text_encoder="words",
        text_encoder_settings={"width": 16},
    )
    codec = cast(Codec, pixels.Codec(pixels.Config(side)))
    objective = build_objective(design, codec.space)
    parts = build_networks(design, objective)
    for n, weight in enumerate(parts.parameters()):
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(n))
    staged = workspace.create_model("blots")
    with staged as folder:
        save_model(Model("blots", codec, objective, parts, design), folder, design.to_tables(), {})
    return staged.result.ref


def create_tunes(workspace: Workspace, context_length: int = 512, data: Dataset | None = None) -> str:
    """Save an untrained model of music, whose outputs are valid all the same, and return its ref."""
    card = {} if data is None else {"data": {"name": data.name, "digest": data.digest}}
    design = Design(
        codec="notes",
        objective="autoregressive",
        network="transformer",
        medium="music",
        context_length=context_length,
        codec_settings={"context_length": context_length},
        network_settings={"width": 16, "depth": 1, "heads": 2},
        text_encoder="words",
        text_encoder_settings={"width": 16},
    )
    codec = cast(Codec, notes.Codec(("chorale", "folk tune"), notes.Config(context_length)))
    objective = build_objective(design, codec.space)
    torch.manual_seed(0)
    parts = build_networks(design, objective)
    staged = workspace.create_model("tunes")
    with staged as folder:
        save_model(Model("tunes", codec, objective, parts, design), folder, design.to_tables(), card)
    return staged.result.ref


def mark_chat_tuned(workspace: Workspace, name: str) -> None:
    """Give a model a parent, as if it had been tuned on conversations."""
    path = workspace.get_model(name).folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parents": [{"ref": f"{name}/0", "digest": ""}]}))


def file_digests(workspace: Workspace, ref: str) -> dict[str, str]:
    """Return the digests of a model's files except its job, which contains timings."""
    listed = workspace.get_model(ref).card["files"]
    return {name: facts["sha256"] for name, facts in listed.items() if name != "job.toml"}


def newest_checkpoint(workspace: Workspace, run: str) -> tuple[str, str]:
    """Return the name and digest of a run's newest checkpoint: weights, optimizer state and averages."""
    path = max((workspace.get_run(run).folder / "state").glob("*.safetensors"))
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()
