"""`genloom generate`: a model writes, or makes pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.cli.console import Console, format_table
from genloom.cli.options.common import CommonOptions, read_prompts
from genloom.cli.options.editing import DEFAULT_EDIT_OPTIONS, EditOptions
from genloom.cli.options.sampling import (
    DEFAULT_STEP_OPTIONS,
    DEFAULT_TOKEN_OPTIONS,
    StepSamplingOptions,
    TokenSamplingOptions,
)
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_folder
from genloom.generate import engine, presets
from genloom.generate.image.contact_sheet import build_contact_sheet
from genloom.model import Model, load_model
from genloom.rate.outputs import find_medium
from genloom.store.files import write_atomic
from genloom.types import Item

DEFAULT_TEMPERATURE = 0.8  # temperature, where nobody says one


def run(
    model: str | None = None,
    /,
    *,
    adapter: list[str] | None = None,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    preset: list[str] | None = None,
    list_presets: Annotated[bool, Parameter(name="--presets")] = False,
    count: Count = 1,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    step_options: StepSamplingOptions = DEFAULT_STEP_OPTIONS,
    edit_options: EditOptions = DEFAULT_EDIT_OPTIONS,
    stop: list[str] | None = None,
    seed: Seed | None = None,
    precision: str = "auto",
    out: Path | None = None,
    replay: str | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Write or make pictures with a model; every output is stored and can be traced and replayed.

    Parameters
    ----------
    model
        A model, like notes (its newest version) or notes/2.
    adapter
        A model that was tuned on the same base with --method lora: what it learned is added. Repeat for several.
    prompt
        What a text begins with, or what a picture shows; there (fox:1.3) makes more of the fox and (fox:0.5) less, and
        \\( \\) \\: are plain signs. Repeat for several.
    prompts
        A file with one prompt a line.
    preset
        Words around the prompt, and settings: the styles flat, glossy, simple, office, outline; the places night and
        beach; draft, fine, faithful, free; and those in presets.toml of the workspace. Repeat for several.
    list_presets
        Show the presets there are.
    count
        How many outputs for each prompt.
    stop
        End where this string would be written. Repeat for several.
    seed
        The same number gives the same outputs. Default: new ones each time.
    precision
        float32, bfloat16, int8 or int4: the fewer bits, the faster, and a little less exact. Default for a large
        transformer on a processor that can: int4 where that loses nothing, else int8; for others float32.
    out
        A folder to put the outputs into as well.
    replay
        The id of a stored output: make it again and compare, byte for byte.
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
        console.print_note(f"The same bytes as {path}")
        console.print_result({"id": replay, "file": str(path), **_build_text_fields(item), "identical": True})
        return
    if model is None:
        raise ValueError("Which model shall write? Name one: genloom generate MODEL (genloom list shows them)")
    if "" in (stop or ()):
        raise ValueError('--stop "" ends nothing: give the string that a text shall end before, or leave it away.')
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
        is_streamed = console.is_live and len(request.prompts) == 1 and engine.is_left_to_right(loaded_model)
        draft = (
            _generate_streaming(loaded_model, batch, console)
            if is_streamed
            else _generate_with_progress(loaded_model, batch, console)
        )
        output_ids = engine.store_outputs(workspace, loaded_model, batch, draft)
        for row, (output_id, item) in enumerate(zip(output_ids, draft.values, strict=True)):
            path = _copy_output(workspace.get_output(output_id)[0], out)
            metadata = {"id": output_id, "prompt": batch.prompts[row], "nonce": batch.nonces[row], "file": str(path)}
            results.append({**metadata, **_build_text_fields(item, continuation=draft.continuations[row])})
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
    """ValueError where something is asked for beside a replay, which takes all from the record."""
    names = [] if model is None else [model]
    names += [
        f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value is not False
    ]
    if names:
        raise ValueError(f"--replay makes an output again as it was made: leave {' and '.join(names)} away.")


def _check_options(model: Model, stop: list[str] | None, edit_options: EditOptions) -> None:
    """ValueError for what only texts or only pictures can have, before anything is made."""
    is_text = engine.is_open_sequence(model.codec.space)
    if stop and not is_text:
        raise ValueError(f"--stop ends texts, and {model.ref} writes none: leave it away.")
    if edit_options.sheet and is_text:
        raise ValueError(f"--sheet puts pictures on a sheet, and {model.ref} writes texts: leave it away.")


def _build_text_fields(item: Any, **extra_fields: Any) -> dict[str, Any]:
    """What a script is told of a text; of anything else it has the file."""
    return {"text": item, **extra_fields} if isinstance(item, str) else {}


def _print_output(item: Any, path: Path, console: Console) -> None:
    """A text as it is; of anything else, where a person watches, what its medium can show on a terminal."""
    if isinstance(item, str):
        console.print_text(f"{item}\n\n")
    elif console.is_live:
        console.print_line(find_medium(path).preview(Item(item)))


def _save_sheet(images: Sequence[Any], first_path: Path, console: Console) -> Path:
    """The pictures on one sheet beside the first of them."""
    if any(getattr(image, "ndim", 0) != 3 for image in images):
        raise ValueError("--sheet puts pictures on a sheet, and these are none. The outputs themselves are stored.")
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
    """Where the output is to be found: in the workspace, and in the folder `out` where that is given."""
    if out is None:
        return path
    write_atomic(out / path.name, path.read_bytes())
    return out / path.name


def _collect_prompts(inline_prompts: list[str] | None, file: Path | None) -> list[str]:
    if file is None:
        return list(inline_prompts or [""])
    lines = read_prompts(file)
    if not lines:
        raise ValueError(f"{file}: there is no prompt in it. Write one on each line.")
    return [*(inline_prompts or []), *lines]


def _generate_with_progress(model: Model, request: engine.Request, console: Console) -> engine.Draft:
    """The finished draft, with a bar while it grows."""
    total, last_draft = engine.count_drafts(model, request), None
    with console.show_progress("Generating", total) as bar:
        for step, draft in enumerate(engine.generate(model, request), start=1):
            ended_note = f"{sum(draft.is_finished)} of {len(draft.is_finished)} ended" if any(draft.is_finished) else ""
            bar.update(min(step, total), ended_note)
            last_draft = draft
    assert last_draft is not None, "there is a prompt, so there is a draft"
    return last_draft


def _generate_streaming(model: Model, request: engine.Request, console: Console) -> engine.Draft:
    """The finished draft, shown while it grows."""
    last_draft, shown_text = None, ""
    for last_draft in engine.generate(model, request):
        text = str(last_draft.values[0])
        assert text.startswith(shown_text), "what was shown stays"
        console.print_text(text[len(shown_text) :])
        shown_text = text
    assert last_draft is not None, "there is a prompt, so there is a draft"
    console.print_text("\n")
    return last_draft
