"""`genloom generate`: outputs of a model."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom import plugins
from genloom.api.generation import GenerationProgress
from genloom.api.models import Model
from genloom.api.outputs import Output, Outputs, can_collect
from genloom.cli.answer_notes import ANSWER_NOTES, print_answer_notes, print_selection
from genloom.cli.console import Console
from genloom.cli.options.cluster import ClusterAddress
from genloom.cli.options.editing import (
    DEFAULT_EDIT_FLAGS,
    DEFAULT_SHEET_OPTIONS,
    EditFlags,
    SheetOptions,
    get_edit_options,
)
from genloom.cli.options.model_input import (
    Adapters,
    ChatPrompts,
    GivenValues,
    Precision,
    PromptsFile,
    read_prompts,
    warn_of_full_adapters,
)
from genloom.cli.options.numbers import OutputCount
from genloom.cli.options.output_format import DEFAULT_FORMAT_OPTIONS, FormatOptions
from genloom.cli.options.sampling import (
    DEFAULT_STEP_OPTIONS,
    DEFAULT_TOKEN_OPTIONS,
    ParamSettings,
    SamplingSeed,
    StepSamplingOptions,
    TokenSamplingOptions,
    Unmarked,
    parse_settings,
)
from genloom.cli.options.saving import (
    DEFAULT_COPY_OPTIONS,
    DEFAULT_SAVE_FLAGS,
    SVG,
    CopyOptions,
    SaveFlags,
    get_save_options,
)
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import (
    is_file_name,
    name_copy,
    note_replacement,
    resolve_output_folder,
    warn_of_replacement,
)
from genloom.conditioners import split_assignments
from genloom.errors import GenloomError
from genloom.generate.presets import PLACEHOLDER, Preset
from genloom.media.abilities import get_ability
from genloom.text_format import format_count, format_table


def run(
    model: str | None = None,
    /,
    *,
    adapter: Adapters | None = None,
    prompt: list[str] | None = None,
    prompts: PromptsFile | None = None,
    given: GivenValues | None = None,
    preset: list[str] | None = None,
    list_presets: Annotated[bool, Parameter(name="--presets")] = False,
    count: OutputCount = 1,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    step_options: StepSamplingOptions = DEFAULT_STEP_OPTIONS,
    option: ParamSettings | None = None,
    list_options: Annotated[bool, Parameter(name="--options")] = False,
    edit_flags: EditFlags = DEFAULT_EDIT_FLAGS,
    sheet_options: SheetOptions = DEFAULT_SHEET_OPTIONS,
    copy_options: CopyOptions = DEFAULT_COPY_OPTIONS,
    save_flags: SaveFlags = DEFAULT_SAVE_FLAGS,
    stop: list[str] | None = None,
    format_options: FormatOptions = DEFAULT_FORMAT_OPTIONS,
    chat: ChatPrompts | None = None,
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    refuse_copies: bool = False,
    precision: Precision = "auto",
    on: ClusterAddress = "",
    out: Path | None = None,
    continue_from: str | None = None,
    replay: str | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Generate outputs of a model; every output is stored, traceable and replayable.

    Parameters
    ----------
    model
        Model name, e.g. notes (its active version) or notes/2.
    prompt
        Start of a text, or description of an image, where (fox:1.3) weighs a word more. Repeatable.
    preset
        Preset of prompt and settings, such as night or draft; --presets lists them. Repeatable.
    list_presets
        List of the presets.
    list_options
        List of the sampling options of the model.
    count
        Number of outputs for each prompt.
    refuse_copies
        Withhold outputs that copy training data.
    stop
        String that ends a text and is not part of it; a line break is $'\\n' in the shell. Repeatable.
    out
        Folder for copies of the outputs, or a file, whose suffix chooses the format.
    continue_from
        Text to continue: its id, or "last".
    replay
        Id of a stored output to generate again and compare byte for byte; --out writes it again, if its file changed.
    """
    workspace, console = common.open()
    if out is not None:
        resolve_output_folder(out.parent if is_file_name(out) else out)
    if list_presets:
        _print_presets(workspace.presets(), console)
        return
    if replay is not None:
        input_options = {
            "adapter": adapter,
            "prompt": prompt,
            "prompts": prompts,
            "given": given,
            "preset": preset,
            "option": option,
            "stop": stop,
            "chat": chat,
            "continue_from": continue_from,
        }
        selection = {"count": count != 1, "precision": precision != "auto", **vars(edit_flags), **vars(sheet_options)}
        selection |= {**vars(copy_options), **vars(save_flags)}
        _check_no_other_options(
            model,
            {
                **input_options,
                "seed": seed,
                "unmarked": unmarked,
                "refuse_copies": refuse_copies,
                "on": on or None,
                **selection,
                **vars(token_options),
                **vars(step_options),
                **vars(format_options),
            },
        )
        _replay_output(workspace.output(replay), out, console)
        return
    if model is None:
        raise GenloomError("cli.model_missing")
    generator = workspace.model(model)
    if list_options:
        _print_options(generator, console)
        return
    if out is not None and is_file_name(out):
        get_ability(plugins.find_part("medium", generator.load().design.medium), "require_save_suffix")(out)
    save_options = get_save_options(save_flags, copy_options, generator, out)
    warn_of_full_adapters(generator, adapter or (), console)
    params = {
        **(
            parse_settings(generator, adapter or (), precision, option or ())
            | token_options.to_params()
            | step_options.to_params()
        ),
        **get_edit_options(edit_flags, generator),
    }
    events = generator.iter_generate(
        _collect_prompts(prompt, prompts),
        n=count,
        seed=seed,
        given=split_assignments(given or ()),
        stop=stop or (),
        **format_options.read(),
        preset=preset or (),
        interpolate=sheet_options.num_interpolated,
        adapters=adapter or (),
        precision=precision,
        is_chat=chat,
        continue_from=continue_from or "",
        is_marked=not unmarked,
        refuse_copies=refuse_copies,
        on=on,
        **params,
    )
    copies = CopyWriter(out, save_options, copy_options.svg, console)
    outputs, results = _print_outputs(events, copies, sheet_options.sheet, console)
    if outputs.num_withheld:
        console.print_note(f"{format_count(outputs.num_withheld, 'output')} withheld: too close to the training data")
    if not outputs:
        raise GenloomError("cli.all_withheld", count=outputs.num_withheld, model=generator.ref)
    sheet_entry: dict[str, Any] = {"withheld": outputs.num_withheld} if refuse_copies else {}
    if outputs.selection is not None:
        print_selection(outputs.selection, console)
        sheet_entry["selection"] = outputs.selection.to_dict()
    if notice := get_ability(outputs[0].medium, "notice"):
        console.print_note(notice)
    if sheet_options.sheet:
        sheet_entry["sheet"] = str(_save_sheet(outputs, Path(results[0]["file"]), console))
    adapters = list(outputs[0].record.get("adapters", {}))
    console.print_result({"model": generator.ref, "adapters": adapters, "outputs": results, **sheet_entry})


@dataclass(frozen=True)
class CopyWriter:
    """The files written of each output outside the workspace."""

    out: Path | None
    options: Mapping[str, Any]  # that change the copies
    has_drawings: bool  # an SVG beside each
    console: Console

    def write(self, output: Output, path: Path) -> Path:
        """Write a copy of an output, and return its path; say which files were replaced."""
        drawings = [path.with_suffix(SVG)] if self.has_drawings and path.suffix.lower() != SVG else []
        for target in (path, *drawings):
            is_replaced = target.is_file()
            output.save(target, note=self.console.print_note_once, **self.options)
            if is_replaced:
                note_replacement(target)
        return path


def _replay_output(output: Output, out: Path | None, console: Console) -> None:
    path = None if out is None else name_copy(out, output.path.name, 1, 1)
    output.replay(path, note=console.print_note_once)
    if path is not None:  # the file of the output may be a changed one
        console.print_line(f"Generated again, as recorded: {path}")
        console.print_result({"id": output.id, "file": str(path), "identical": True})
        return
    _print_output(output, console)
    console.print_note(f"Identical to {output.path}")
    text_fields = _build_text_fields(output)
    console.print_result({"id": output.id, "file": str(output.path), **text_fields, "identical": True})


def _print_outputs(
    events: Iterable[GenerationProgress | Output], copies: CopyWriter, should_keep_all: bool, console: Console
) -> tuple[Outputs, list[dict[str, Any]]]:
    """Print each output as it comes, and return them and their results for scripts.

    Without a use for all, only the first is returned, so that many outputs take no memory.
    """
    outputs, collected, results, previous, out = Outputs(), Outputs(), [], None, copies.out

    def count_withheld() -> Iterator[GenerationProgress | Output]:
        for event in events:
            outputs.num_withheld = getattr(event, "num_withheld", outputs.num_withheld)
            outputs.selection = getattr(event, "selection", outputs.selection)
            yield event

    for output, position, is_streamed in _show_progress(count_withheld(), console):
        if should_keep_all or not outputs:
            outputs.append(output)
        path = output.path
        is_file = out is not None and is_file_name(out)
        is_collected = (
            out is not None and is_file and position[1] > 1 and can_collect(output.medium, out.suffix.lower())
        )
        if out is not None and is_collected:
            path = out
            collected.append(output)
        elif out is not None:
            path = copies.write(output, name_copy(out, output.path.name, *position))
        metadata = {"id": output.id, "prompt": output.prompt, "nonce": output.nonce, "file": str(path)}
        metadata |= {name: output.record[name] for name in ("given", *ANSWER_NOTES) if name in output.record}
        if console.is_json or not results:
            results.append({**metadata, **_build_text_fields(output, written=output.continuation)})
        if is_streamed:
            console.print_text("\n")
            console.print_note(f"── {output.id} · {path}")
        else:
            console.print_line(f"── {position[0]} of {position[1]} · {output.id} · {path}")
            _print_output(output, console)
        print_answer_notes(output, console, previous)
        previous = output
    if out is not None and collected:
        collected.save_collection(warn_of_replacement(out), note=console.print_note_once)
    return outputs, results


def _show_progress(
    events: Iterable[GenerationProgress | Output], console: Console
) -> Iterator[tuple[Output, tuple[int, int], bool]]:
    """Yield the outputs, their positions, and whether their text was printed while it was generated."""
    shown_text, num_outputs, last_step = "", 0, None
    with ExitStack() as stack:
        bar = None
        for event in events:
            if isinstance(event, Output):
                stack.close()
                num_outputs, bar = num_outputs + 1, None
                assert last_step is not None, "the steps of an output come before it"
                is_streamed = last_step.is_streamed and console.is_live
                yield event, (num_outputs, last_step.count), is_streamed
                continue
            last_step = event
            if event.understood:
                console.print_note_once(f"Understood: {event.understood}.")
            for caution in event.selection.cautions if event.selection else ():
                console.print_note_once(f"Note: {caution}")
            if event.is_streamed and console.is_live and event.draft is not None:
                text = str(event.draft.values[0])
                assert text.startswith(shown_text), "a later draft only appends"
                console.print_text(text[len(shown_text) :])
                shown_text = text
                continue
            bar = bar or stack.enter_context(console.show_progress("Generating", 1.0))
            bar.update(event.compute_share(num_outputs), event.note)


def _check_no_other_options(model: str | None, options: Mapping[str, Any]) -> None:
    """Raise if other options are given with --replay, which takes everything from the record."""
    names = [] if model is None else [model]
    names += [
        f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value is not False
    ]
    if names:
        raise GenloomError("cli.replay_with_options", options=" and ".join(names))


def _build_text_fields(output: Output, **extra_fields: Any) -> dict[str, Any]:
    """Return for scripts a value that is a text; of other media they read the file."""
    return {"text": output.value, **extra_fields} if output.show().mime == "text/plain" else {}


def _print_output(output: Output, console: Console) -> None:
    """Print a text, or on a terminal what another medium shows there."""
    shown = output.show()
    if shown.mime == "text/plain":
        console.print_text(f"{shown.text}\n\n")
    elif console.is_live:
        console.print_line(shown.text)


def _save_sheet(outputs: Outputs, first_path: Path, console: Console) -> Path:
    """Write a sheet of all outputs beside the first and return its path."""
    path = outputs.save_sheet(first_path.with_name(f"sheet-{first_path.stem}"), note=console.print_note_once)
    console.print_line(f"── all {len(outputs)} · {path}")
    return path


def _print_options(model: Model, console: Console) -> None:
    options = model.list_options()
    example = f", e.g. -o {options[0].name}={options[0].default}" if options else ": none"
    console.print_line(f"Sampling options of {model.ref}{example}")
    console.print_lines(
        format_table([(o.name, o.type, str(o.default), o.requirement, o.help) for o in options]), indent="  "
    )
    console.print_result({"model": model.ref, "options": {o.name: asdict(o) for o in options}})


def _print_presets(known_presets: Mapping[str, Preset], console: Console) -> None:
    rows: list[tuple[str, ...]] = []
    for name, preset in known_presets.items():
        settings = ", ".join(f"{setting} {value}" for setting, value in preset.params.items())
        rows.append((name, preset.description, preset.prompt.replace(PLACEHOLDER, "…"), settings))
    console.print_lines(format_table(rows))
    console.print_result({"presets": {name: asdict(preset) for name, preset in known_presets.items()}})


def _collect_prompts(inline_prompts: list[str] | None, file: Path | None) -> list[str]:
    if file is None:
        return list(inline_prompts or [""])
    lines = read_prompts(file)
    if not lines:
        raise GenloomError("cli.prompts_file_empty", path=file)
    return [*(inline_prompts or []), *lines]
