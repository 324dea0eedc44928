"""Questions that the worker answers; every value is JSON."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genloom.api.arguments import to_overrides
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.plugins import find_part, list_part_names
from genloom.rate.outputs import find_medium
from genloom.server.worker import chat_questions, speech_questions, trust_questions
from genloom.server.worker import design as design_questions
from genloom.store import manifest
from genloom.store.dataset import SPLITS
from genloom.store.files import write_atomic
from genloom.types import Display

THUMBNAIL_SIDE = 320  # pixels
MAX_SAMPLE_CHARS = 4000
_CACHE = "cache"  # in the workspace; what is in it can be made again
_MEASURED: dict[str, dict[str, Any]] = {}  # by what is trained: step times that further forecasts need not measure


def show(workspace: Workspace, output: str) -> dict[str, Any]:
    """Return the address in the cache of what a page shows of an output: MIME type and path."""
    return _load_or_make(workspace, f"shown/{output}", lambda: _show(*_read_value(workspace, output)))


def describe_display(workspace: Workspace, output: str) -> dict[str, Any]:
    """Return the MIME type of what a page shows of outputs like this one, and whether it can be played."""
    medium, _ = _read_value(workspace, output)
    return {"mime": show(workspace, output)["mime"], "has_sound": get_ability(medium, "render_sound") is not None}


def render_sound(workspace: Workspace, output: str) -> dict[str, Any] | None:
    """Return the sound that a page plays beside an output; None for a medium without."""
    medium, value = _read_value(workspace, output)
    render = get_ability(medium, "render_sound")
    return None if render is None else _load_or_make(workspace, f"sounds/{output}", lambda: render(value))


def make_thumbnail(workspace: Workspace, output: str) -> dict[str, Any] | None:
    """Return a small raster picture of what a page shows; None if that is no picture."""
    return _make_thumbnail(workspace, f"thumbnails/{output}", lambda: _show(*_read_value(workspace, output)))


def save_file(workspace: Workspace, output: str, suffix: str) -> str:
    """Return the path of an output in another format of its medium."""
    path = workspace.folder / _CACHE / "saved" / f"{output}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        problems: list[str] = []
        workspace.output(output).save(path, note=problems.append)
        if problems:  # it is not signed, but may be the next time
            return str(path.replace(path.with_stem(f"{path.stem}-unsigned")))
    return str(path)


def describe_output(workspace: Workspace, output: str) -> dict[str, float]:
    """Return facts about an output, by a name with its unit."""
    found = workspace.output(output)
    return dict(get_ability(found.medium, "describe")(found.value))


def forecast_training(workspace: Workspace, params: Mapping[str, Any], minutes: float) -> dict[str, Any]:
    """Return what a training would cost and reach, measured on this machine; nothing of it is kept."""
    from genloom.api.progress import find_text_level
    from genloom.memory import measure_memory
    from genloom.train.events import RunEstimate
    from genloom.train.planning.auto_config import Budget
    from genloom.train.run import TrainRequest, train_model

    base = workspace.model(params["from"]).ref if params["from"] else ""
    private = {"plan.private.epsilon": str(params["epsilon"])} if params["private"] else {}
    overrides = {
        "plan.torch_compile": "false",
        **private,
        **to_overrides(params["overrides"]),
    }  # trying it takes half a minute
    measured = _MEASURED.setdefault(repr((params["digest"], base, params["method"], sorted(overrides.items()))), {})
    budget = Budget(minutes, params["params"], params["tokens"], params["steps"], params["seed"], measured=measured)
    name = params["name"] or params["data"]
    request = TrainRequest(params["data"], name, base, params["method"] or "lora", budget, overrides)
    events = train_model(workspace.store, request)
    try:
        estimate = next(event for event in events if isinstance(event, RunEstimate))
    except GenloomError as error:
        if error.code not in ("train.out_of_memory", "train.out_of_memory_finetuning"):
            raise
        return {"why_not": str(error), "memory_available": measure_memory().available}
    finally:
        events.close()  # which removes the run
    expected, margin = estimate.expected_loss, estimate.error_margin
    return {
        "parameters": estimate.num_parameters,
        "trained": estimate.num_trained,
        "steps": estimate.steps,
        "units": estimate.total_units,
        "unit": estimate.unit.word,
        "epochs": estimate.num_epochs or None,
        "seconds": estimate.seconds,
        "setup_seconds": estimate.setup_seconds,
        "memory_bytes": estimate.memory_bytes,
        "memory_available": measure_memory().available,
        "metric": estimate.metric,
        "expected": expected,
        "low": None if expected is None else expected * (1 - margin),
        "high": None if expected is None else expected * (1 + margin),
        "baseline": estimate.ngram_baseline,
        "before": estimate.loss_before,
        "level": find_text_level(estimate),
        "why_not": "",
    }


def list_samples(
    workspace: Workspace, name: str, digest: str, split: str, q: str, start: int, limit: int
) -> dict[str, Any]:
    """Return documents of a data set from number `start` on, and the number after the last one, or None."""
    stored, samples, number = workspace.dataset(name, digest).stored, [], 0
    for each in SPLITS:
        if split not in ("", each):
            continue
        for item in stored.iter_documents(each):
            number += 1
            text = str(item.meta.get("caption", item.value))
            if number <= start or (q and q.casefold() not in text.casefold()):
                continue
            if len(samples) == limit:
                return {"samples": samples, "next": number - 1}
            samples.append(
                {
                    "id": str(item.meta.get("id", "")),
                    "split": each,
                    "source": item.source,
                    "licence": item.licence,
                    "caption": item.meta.get("caption"),
                    "text": None if "caption" in item.meta else text[:MAX_SAMPLE_CHARS],
                    "is_cut": "caption" not in item.meta and len(text) > MAX_SAMPLE_CHARS,
                    "bytes": int(item.meta.get("bytes", 0)),
                }
            )
    return {"samples": samples, "next": None}


def show_sample(workspace: Workspace, name: str, digest: str, id: str, is_thumbnail: bool) -> dict[str, Any] | None:
    """Return the address in the cache of what a page shows of a document."""
    found = workspace.dataset(name, digest)
    key = f"samples/{found.digest[:16]}-{id[:40]}"

    def read() -> Display:
        for split in SPLITS:
            for item in found.stored.iter_documents(split):
                if item.meta.get("id") == id:
                    return _show(find_part("medium", found.medium), item.value)
        raise GenloomError("studio.no_such_document", id=id[:40], data=name)

    return _make_thumbnail(workspace, f"{key}-small", read) if is_thumbnail else _load_or_make(workspace, key, read)


def list_presets(workspace: Workspace, medium: str) -> list[dict[str, str]]:
    """Return the presets for models of a medium, each with its sentence."""
    found = workspace.presets().values()
    return [{"name": each.name, "help": each.description} for each in found if each.medium in ("", medium)]


def count_media(workspace: Workspace, folder: str) -> dict[str, Any]:
    """Return the media of the files in a folder, and those that no medium reads."""
    suffixes = {suffix: name for name in list_part_names("medium") for suffix in find_part("medium", name).suffixes}
    media: dict[str, list[int]] = {}
    left: dict[str, int] = {}
    for path in Path(folder).rglob("*"):
        if path.is_file():
            name = suffixes.get(path.suffix.lower())
            if name is None:
                left[path.suffix.lower()] = left.get(path.suffix.lower(), 0) + 1
            else:
                counts = media.setdefault(name, [0, 0])
                counts[0] += 1
                counts[1] += path.stat().st_size
    return {"media": media, "left": left}


def find_problems(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the problems of the machine and the workspace, with their codes and the values in their texts."""
    return [
        {
            "text": str(problem),
            "code": problem.code,
            "values": {key: str(value) for key, value in problem.fields.items()},
        }
        for problem in workspace.doctor().problems
    ]


QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "show": show,
    "describe_display": describe_display,
    "render_sound": render_sound,
    "make_thumbnail": make_thumbnail,
    "save_file": save_file,
    "describe_output": describe_output,
    "forecast": forecast_training,
    "list_samples": list_samples,
    "show_sample": show_sample,
    "count_media": count_media,
    "find_problems": find_problems,
    "list_presets": list_presets,
    **chat_questions.QUESTIONS,
    **design_questions.QUESTIONS,
    **speech_questions.QUESTIONS,
    **trust_questions.QUESTIONS,
}


def _read_value(workspace: Workspace, output: str) -> tuple[Any, Any]:
    """Return the medium and the value of an output, also of one in the bin."""
    try:
        found = workspace.output(output)
    except GenloomError as error:
        entry = next((e for e in workspace.bin if e.kind == "outputs" and e.name == output), None)
        if error.code != "store.in_bin" or entry is None:
            raise
        folder = workspace.folder / "bin" / entry.id
        record = manifest.read_json(folder / "0")
        number = next(n for n, path in enumerate(entry.paths) if Path(path).name == record["file"])
        medium = find_medium(Path(record["file"]), record)
        return medium, medium.decode((folder / str(number)).read_bytes())
    return found.medium, found.value


def _show(medium: Any, value: Any) -> Display:
    return get_ability(medium, "show")(value)


def _load_or_make(workspace: Workspace, key: str, make: Callable[[], Display]) -> dict[str, Any]:
    """Return the MIME type and path of something in the cache, made if it is missing."""
    import mimetypes

    folder, name = (workspace.folder / _CACHE / key).parent, key.rpartition("/")[2]
    for path in folder.glob(f"{name}.*"):
        return {"mime": mimetypes.guess_type(path.name)[0] or "application/octet-stream", "path": str(path)}
    shown = make()
    path = folder / f"{name}{mimetypes.guess_extension(shown.mime.partition(';')[0]) or '.bin'}"
    write_atomic(path, shown.data)
    return {"mime": shown.mime, "path": str(path)}


def _make_thumbnail(workspace: Workspace, key: str, make: Callable[[], Display]) -> dict[str, Any] | None:
    def shrink() -> Display:
        from genloom.media.image.decoding import decode_image, to_pil_image

        shown = make()
        if not shown.mime.startswith("image/"):
            raise _NoPicture
        picture = to_pil_image(decode_image(shown.data, THUMBNAIL_SIDE).pixels)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=85, method=4)
        return Display("image/webp", buffer.getvalue(), "")

    try:
        return _load_or_make(workspace, key, shrink)
    except _NoPicture:
        return None


class _NoPicture(Exception):
    """The sheet shows something else than pictures."""
