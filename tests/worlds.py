"""Small workspaces: tales of a few words told again and again, and the jobs that learn them in seconds."""

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

from genloom.codecs import pixels
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


def tales(count: int, seed: int = 0, lines: int = 12) -> list[str]:
    draw = random.Random(seed)
    told = [[f"{draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHAT)}." for _ in range(lines)] for _ in range(count)]
    return [f"Tale {n}\n\n" + "\n".join(sentences) + "\n" for n, sentences in enumerate(told)]


def dataset(workspace: Workspace, name: str = "tales", documents: int = 60, seed: int = 0) -> Dataset:
    """A data set of tales: every sixth is for validation, every sixth for the test."""
    texts = tales(documents, seed)
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
    return stored(workspace, name, columns)


def stored(workspace: Workspace, name: str, columns: dict[str, Any]) -> Dataset:
    """A data set of these columns in one part."""
    making = workspace.create_dataset(name)
    with making as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"licences": {"CC0-1.0": len(columns["id"])}}))
    return making.result


def two_kinds(workspace: Workspace, count: int = 24, lines: int = 200, name: str = "kinds") -> Dataset:
    """Tales, which are easy to foretell, collected before twice as many bytes of digits drawn by chance."""
    draw = random.Random(0)
    easy = tales(count, lines=lines)
    hard = ["".join(draw.choices("0123456789\n", k=len(tale))) for tale in easy for _ in range(2)]
    texts = easy + hard
    columns = {
        "id": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "text": texts,
        "source": [f"{'easy' if n < len(easy) else 'hard'}/{n}.txt" for n in range(len(texts))],
        "licence": ["CC0-1.0"] * len(texts),
        "split": [{0: "val", 1: "test"}.get(n % 3, "train") for n in range(len(texts))],
        "bytes": [len(text.encode()) for text in texts],
    }
    return stored(workspace, name, columns)


COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 230)}


def pictures(
    workspace: Workspace,
    name: str = "tiles",
    count: int = 60,
    side: int = 8,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
    sorted_by_colour: bool = False,
) -> Dataset:
    """A data set of pictures of one colour, which their captions name: every sixth is for validation, and the test."""
    chance, names = np.random.default_rng(0), list(colours)
    named = [names[n % len(names)] for n in range(count)]
    shown = [np.array(colours[colour]) + chance.integers(-20, 20, (side, side, 3)) for colour in named]
    splits = [{0: "val", 1: "test"}.get(n // len(names) % 6, "train") for n in range(count)]
    if sorted_by_colour:
        order = sorted(range(count), key=named.__getitem__)
        named, shown, splits = [named[n] for n in order], [shown[n] for n in order], [splits[n] for n in order]
    content = [image.encode(x.clip(0, 255).astype(np.uint8)) for x in shown]
    columns = {
        "id": [hashlib.sha256(data).hexdigest() for data in content],
        "text": [f"a {colour} tile" for colour in named],
        "source": [f"{name}/{n}.png" for n in range(count)],
        "licence": ["CC0-1.0"] * count,
        "split": splits,
        "bytes": [len(data) for data in content],
        "content": content,
    }
    making = workspace.create_dataset(name)
    with making as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"medium": "image", "licences": {"CC0-1.0": count}}))
    return making.result


def picture_job(data: Dataset, steps: int = 12, **changes: str) -> Job:
    """A small job on pictures with prompts; changes are written as for `job`."""
    tables: dict[str, Any] = {
        "name": data.name,
        "data": data.name,
        "digest": data.digest,
        "batch_size": 8,
        "medium": "image",
        "codec": {"name": "pixels", "size": 8},
        "objective": {"name": "flow"},
        "network": {"name": "dit", "width": 32, "depth": 2, "head_width": 16},
        "prompts": {"name": "words", "width": 16},
        "plan": {
            "steps": steps,
            "warmup": 2,
            "optimizer": {"lr_matrix": 0.02, "lr_embedding": 0.02, "lr_vector": 0.01},
        },
    }
    return Job.from_tables(apply_overrides(tables, {key.replace("__", "."): value for key, value in changes.items()}))


def job(data: Dataset, steps: int = 12, **changes: str) -> Job:
    """A small job; changes are written with two underscores for a dot: plan__average="0.9"."""
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


def started(workspace: Workspace, planned: Job) -> str:
    """The id of a new run that has its job and has not taken a step."""
    folder = workspace.create_run(planned.name)
    planned.save(folder / "job.toml")
    return folder.name


def carried_on(workspace: Workspace, run: str, **more: Any) -> Iterator[Event]:
    return train_model(workspace, TrainRequest(run, should_resume=True, **more))


def finished(workspace: Workspace, planned: Job, **more: Any) -> RunResult:
    *_, last = carried_on(workspace, started(workspace, planned), **more)
    assert isinstance(last, RunResult)
    return last


@cache
def home(folder: Path) -> Workspace:
    """A workspace with models that write tales: `tales`, from left to right, and `masks`, here and there."""
    workspace = Workspace(folder)
    data = dataset(workspace)
    small = {"network__width": "32", "network__depth": "2", "batch_size": "16", "context_length": "48"}
    finished(workspace, job(data, 200, **small))
    finished(workspace, job(data, 60, name="masks", objective__name="masked", **small))
    return workspace


def blots(workspace: Workspace, side: int = 16) -> str:
    """The ref of a model of pictures that has learned nothing, so that any two of its pictures are far apart."""
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
    making = workspace.create_model("blots")
    with making as folder:
        save_model(Model("blots", codec, objective, parts, design), folder, design.to_tables(), {})
    return making.result.ref


def taught(workspace: Workspace, name: str) -> None:
    """Let a model pass for one that was tuned on conversations."""
    path = workspace.get_model(name).folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parents": [{"ref": f"{name}/0", "digest": ""}]}))


def files_of(workspace: Workspace, ref: str) -> dict[str, str]:
    """The digests of what makes a model what it is, but for its job, in which the time of the machine stands."""
    listed = workspace.get_model(ref).card["files"]
    return {name: facts["sha256"] for name, facts in listed.items() if name != "job.toml"}


def newest_state(workspace: Workspace, run: str) -> tuple[str, str]:
    """The name and digest of a run's newest checkpoint: weights, optimizer and averages."""
    path = max((workspace.get_run(run).folder / "state").glob("*.safetensors"))
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()
