"""`genloom generate`: text or images from a model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.cli.console import Console
from genloom.cli.options.common import Adapters, CommonOptions, Precision, PromptsFile, read_prompts
from genloom.cli.options.editing import DEFAULT_EDIT_OPTIONS, EditOptions
from genloom.cli.options.sampling import (
    DEFAULT_STEP_OPTIONS,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOKEN_OPTIONS,
    SamplingSeed,
    StepSamplingOptions,
    TokenSamplingOptions,
)
from genloom.cli.options.types import Count
from genloom.cli.output_path import resolve_output_folder
from genloom.errors import GenloomError
from genloom.generate import engine, presets
from genloom.generate.image.contact_sheet import build_contact_sheet
from genloom.model import Model, load_model
from genloom.rate.outputs import find_medium
from genloom.store.files import write_atomic
from genloom.text_format import format_table
from genloom.types import Item


def run(
    model: str | None = None,
    /,
    *,
    adapter: Adapters | None = None,
    prompt: list[str] | None = None,
    prompts: PromptsFile | None = None,
    preset: list[str] | None = None,
    list_presets: Annotated[bool, Parameter(name="--presets")] = False,
    count: Count = 1,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    step_options: StepSamplingOptions = DEFAULT_STEP_OPTIONS,
    edit_options: EditOptions = DEFAULT_EDIT_OPTIONS,
    stop: list[str] | None = None,
    seed: SamplingSeed | None = None,
    precision: Precision = "auto",
    out: Path | None = None,
    replay: str | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Generate text or images; every output is stored, traceable and replayable.

    Parameters
    ----------
    model
        Model name, e.g. notes (its active version) or notes/2.
    prompt
        Start of a text, or description of an image; in the latter (fox:1.3) gives a word more weight, (fox:0.5) less,
        and \\( \\) \\: are literal. Repeatable.
    preset
        Preset of prompt and settings: the styles flat, glossy, simple, office, outline; the scenes night and beach;
        draft, fine, faithful, free; and those in presets.toml of the workspace. Repeatable.
    list_presets
        List of the presets.
    count
        Number of outputs for each prompt.
    stop
        String that ends a text and is not part of it. Repeatable.
    out
        Folder for copies of the outputs.
    replay
        Id of a stored output to generate again and compare byte for byte.
    """
    workspace, console = common.open()
    if out is not None:
        resolve_output_folder(out)
    if list_presets:
        _print_presets(presets.load_presets(workspace.root), console)
        return
    if replay is not None:
        input_options = {
            "adapter": adapter,
            "prompt": prompt,
            "prompts": prompts,
            "preset": preset,
            "stop": stop,
            "out": out,
        }
        selection = {"count": count != 1, "precision": precision != "auto", **vars(edit_options)}
        _check_no_other_options(
            model, {**input_options, "seed": seed, **selection, **vars(token_options), **vars(step_options)}
        )
        path, item = engine.replay_output(workspace, replay)
        _print_output(item, path, console)
        console.print_note(f"Identical to {path}")
        console.print_result({"id": replay, "file": str(path), **_build_text_fields(item), "identical": True})
        return
    if model is None:
        raise GenloomError("cli.model_missing")
    if "" in (stop or ()):
        raise GenloomError("cli.empty_stop")
    selection = presets.get_presets(preset or (), workspace.root)
    params = {name: value for chosen_preset in selection for name, value in chosen_preset.params.items()}
    params |= token_options.to_params() | step_options.to_params()
    prompt_texts = _collect_prompts(prompt, prompts)
    for chosen_preset in selection:
        prompt_texts = [chosen_preset.format_prompt(text) for text in prompt_texts]
    loaded_model = load_model(workspace, model, adapter or (), precision)
    _check_options(loaded_model, stop, edit_options)
    if "temperature" in engine.list_request_params(loaded_model):
        params = {"temperature": DEFAULT_TEMPERATURE, **params}
    num_outputs = 2 if edit_options.interpolate and len(prompt_texts) == 1 and count == 1 else count
    request = engine.build_request(
        prompt_texts, num_outputs, seed, stop or (), params, engine.get_nonce_pool_size(loaded_model.codec.space)
    )
    request = edit_options.apply_to_request(request, loaded_model)
    results: list[dict[str, Any]] = []
    images: list[Any] = []
    for batch in engine.split_batches(request):
        is_streamed = console.is_live and len(request.prompts) == 1 and engine.can_stream_text(loaded_model)
        draft = (
            _generate_streaming(loaded_model, batch, console)
            if is_streamed
            else _generate_with_progress(loaded_model, batch, console)
        )
        output_ids = engine.store_outputs(workspace, loaded_model, batch, draft)
        for row, (output_id, item) in enumerate(zip(output_ids, draft.values, strict=True)):
            path = _copy_output(workspace.get_output(output_id)[0], out)
            metadata = {"id": output_id, "prompt": batch.prompts[row], "nonce": batch.nonces[row], "file": str(path)}
            results.append({**metadata, **_build_text_fields(item, written=draft.continuations[row])})
            if is_streamed:
                console.print_note(f"── {output_id} · {path}")
            else:
                console.print_line(f"── {len(results)} of {len(request.prompts)} · {output_id} · {path}")
                _print_output(item, path, console)
        images += draft.values if edit_options.sheet else []
    sheet_entry = {"sheet": str(_save_sheet(images, Path(results[0]["file"]), console))} if images else {}
    console.print_result(
        {"model": loaded_model.ref, "adapters": list(loaded_model.adapters), "outputs": results, **sheet_entry}
    )


def _check_no_other_options(model: str | None, options: Mapping[str, Any]) -> None:
    """Raise if other options are given with --replay, which takes everything from the record."""
    names = [] if model is None else [model]
    names += [
        f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value is not False
    ]
    if names:
        raise GenloomError("cli.replay_with_options", options=" and ".join(names))


def _check_options(model: Model, stop: list[str] | None, edit_options: EditOptions) -> None:
    """Raise for options that the medium of the model does not have."""
    is_text = engine.is_open_sequence(model.codec.space)
    if stop and not is_text:
        raise GenloomError("cli.stop_of_other_media", model=model.ref)
    if edit_options.sheet and is_text:
        raise GenloomError("cli.sheet_of_text", model=model.ref)


def _build_text_fields(item: Any, **extra_fields: Any) -> dict[str, Any]:
    """Return a text for scripts; of other media they read the file."""
    return {"text": item, **extra_fields} if isinstance(item, str) else {}


def _print_output(item: Any, path: Path, console: Console) -> None:
    """Print a text, or on a terminal the preview of another medium."""
    if isinstance(item, str):
        console.print_text(f"{item}\n\n")
    elif console.is_live:
        console.print_line(find_medium(path).preview(Item(item)))


def _save_sheet(images: Sequence[Any], first_path: Path, console: Console) -> Path:
    """Write a contact sheet beside the first image and return its path."""
    if any(getattr(image, "ndim", 0) != 3 for image in images):
        raise GenloomError("cli.sheet_of_other_media")
    path = first_path.with_name(f"sheet-{first_path.stem}.png")
    find_medium(path).save(Item(build_contact_sheet(images)), path)
    console.print_line(f"── all {len(images)} · {path}")
    return path


def _print_presets(known_presets: Mapping[str, presets.Preset], console: Console) -> None:
    rows: list[tuple[str, ...]] = []
    for name, preset in known_presets.items():
        settings = ", ".join(f"{setting} {value}" for setting, value in preset.params.items())
        rows.append((name, preset.description, preset.prompt.replace(presets.PLACEHOLDER, "…"), settings))
    for line in format_table(rows):
        console.print_line(line)
    console.print_result({"presets": {name: asdict(preset) for name, preset in known_presets.items()}})


def _copy_output(path: Path, out: Path | None) -> Path:
    """Copy the output into the folder `out`, if given, and return its path."""
    if out is None:
        return path
    write_atomic(out / path.name, path.read_bytes())
    return out / path.name


def _collect_prompts(inline_prompts: list[str] | None, file: Path | None) -> list[str]:
    if file is None:
        return list(inline_prompts or [""])
    lines = read_prompts(file)
    if not lines:
        raise GenloomError("cli.prompts_file_empty", path=file)
    return [*(inline_prompts or []), *lines]


def _generate_with_progress(model: Model, request: engine.Request, console: Console) -> engine.Draft:
    """Return the final draft, with a progress bar."""
    total, last_draft = engine.count_drafts(model, request), None
    with console.show_progress("Generating", total) as bar:
        for step, draft in enumerate(engine.generate(model, request), start=1):
            ended_note = f"{sum(draft.is_finished)} of {len(draft.is_finished)} ended" if any(draft.is_finished) else ""
            bar.update(min(step, total), ended_note)
            last_draft = draft
    assert last_draft is not None, "a request yields at least one draft"
    return last_draft


def _generate_streaming(model: Model, request: engine.Request, console: Console) -> engine.Draft:
    """Return the final draft, and print its text as it is generated."""
    last_draft, shown_text = None, ""
    for last_draft in engine.generate(model, request):
        text = str(last_draft.values[0])
        assert text.startswith(shown_text), "a later draft only appends"
        console.print_text(text[len(shown_text) :])
        shown_text = text
    assert last_draft is not None, "a request yields at least one draft"
    console.print_text("\n")
    return last_draft
