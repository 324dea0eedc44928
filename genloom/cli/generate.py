"""`genloom generate`: a model writes, or makes pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.cli.numbers import Count, Seed
from genloom.cli.out import folder_at
from genloom.cli.pictures import PICTURING, Picturing
from genloom.cli.sampling import MAKING, WRITING, Making, Writing
from genloom.cli.screen import Screen, table
from genloom.cli.shared import Shared, lines_of
from genloom.generate import engine, presets
from genloom.generate.sheet import sheet
from genloom.model import Model, open_model
from genloom.rate.values import medium_of
from genloom.store.files import write_atomic
from genloom.types import Item

DARING = 0.8  # temperature, where nobody says one


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
    writing: Writing = WRITING,
    making: Making = MAKING,
    picturing: Picturing = PICTURING,
    stop: list[str] | None = None,
    seed: Seed | None = None,
    precision: str = "auto",
    out: Path | None = None,
    replay: str | None = None,
    shared: Shared = Shared(),
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
    workspace, screen = shared.open()
    if out is not None:
        folder_at(out)
    if list_presets:
        _presets(presets.known(workspace.root), screen)
        return
    if replay is not None:
        named = {"adapter": adapter, "prompt": prompt, "prompts": prompts, "preset": preset, "stop": stop, "out": out}
        chosen = {"count": count != 1, "precision": precision != "auto", **vars(picturing)}
        _alone(model, {**named, "seed": seed, **chosen, **vars(writing), **vars(making)})
        path, item = engine.replay(workspace, replay)
        _show(item, path, screen)
        screen.note(f"The same bytes as {path}")
        screen.result({"id": replay, "file": str(path), **_text(item), "identical": True})
        return
    if model is None:
        raise ValueError("Which model shall write? Name one: genloom generate MODEL (genloom list shows them)")
    if "" in (stop or ()):
        raise ValueError('--stop "" ends nothing: give the string that a text shall end before, or leave it away.')
    chosen = presets.named(preset or (), workspace.root)
    controls = {name: value for one in chosen for name, value in one.controls.items()}
    controls |= writing.controls() | making.controls()
    said = _prompts(prompt, prompts)
    for one in chosen:
        said = [one.around(text) for text in said]
    opened = open_model(workspace, model, adapter or (), precision)
    _fitting(opened, stop, picturing)
    if "temperature" in engine.settings(opened):
        controls = {"temperature": DARING, **controls}
    ends = 2 if picturing.interpolate and len(said) == 1 and count == 1 else count
    asked = engine.request(said, ends, seed, stop or (), controls, engine.pool_of(opened.codec.space))
    asked = picturing.request(asked, opened)
    results: list[dict[str, Any]] = []
    pictures: list[Any] = []
    for portion in engine.portions(asked):
        streamed = screen.live and len(asked.prompts) == 1 and engine.left_to_right(opened)
        draft = _streamed(opened, portion, screen) if streamed else _finished(opened, portion, screen)
        ids = engine.store(workspace, opened, portion, draft)
        for row, (output, item) in enumerate(zip(ids, draft.items, strict=True)):
            path = _copied(workspace.output(output)[0], out)
            facts = {"id": output, "prompt": portion.prompts[row], "nonce": portion.nonces[row], "file": str(path)}
            results.append({**facts, **_text(item, written=draft.written[row])})
            if streamed:
                screen.note(f"── {output} · {path}")
            else:
                screen.say(f"── {len(results)} of {len(asked.prompts)} · {output} · {path}")
                _show(item, path, screen)
        pictures += draft.items if picturing.grid else []
    together = {"sheet": str(_sheet(pictures, Path(results[0]["file"]), screen))} if pictures else {}
    screen.result({"model": opened.ref, "adapters": list(opened.adapters), "outputs": results, **together})


def _alone(model: str | None, others: Mapping[str, Any]) -> None:
    """ValueError where something is asked for beside a replay, which takes all from the record."""
    asked = [] if model is None else [model]
    asked += [
        f"--{name.replace('_', '-')}" for name, given in others.items() if given is not None and given is not False
    ]
    if asked:
        raise ValueError(f"--replay makes an output again as it was made: leave {' and '.join(asked)} away.")


def _fitting(model: Model, stop: list[str] | None, picturing: Picturing) -> None:
    """ValueError for what only texts or only pictures can have, before anything is made."""
    texts = engine.written(model.codec.space)
    if stop and not texts:
        raise ValueError(f"--stop ends texts, and {model.ref} writes none: leave it away.")
    if picturing.grid and texts:
        raise ValueError(f"--grid puts pictures on a sheet, and {model.ref} writes texts: leave it away.")


def _text(item: Any, **more: Any) -> dict[str, Any]:
    """What a script is told of a text; of anything else it has the file."""
    return {"text": item, **more} if isinstance(item, str) else {}


def _show(item: Any, path: Path, screen: Screen) -> None:
    """A text as it is; of anything else, where a person watches, what its medium can show on a terminal."""
    if isinstance(item, str):
        screen.text(f"{item}\n\n")
    elif screen.live:
        screen.say(medium_of(path).preview(Item(item)))


def _sheet(pictures: Sequence[Any], first: Path, screen: Screen) -> Path:
    """The pictures on one sheet beside the first of them."""
    if any(getattr(picture, "ndim", 0) != 3 for picture in pictures):
        raise ValueError("--grid puts pictures on a sheet, and these are none. The outputs themselves are stored.")
    path = first.with_name(f"sheet-{first.stem}.png")
    medium_of(path).save(Item(sheet(pictures)), path)
    screen.say(f"── all {len(pictures)} · {path}")
    return path


def _presets(known: Mapping[str, presets.Preset], screen: Screen) -> None:
    rows: list[tuple[str, ...]] = []
    for name, one in known.items():
        settings = ", ".join(f"{setting} {value}" for setting, value in one.controls.items())
        rows.append((name, one.about, one.prompt.replace(presets.PLACE, "…"), settings))
    for line in table(rows):
        screen.say(line)
    screen.result({"presets": {name: asdict(one) for name, one in known.items()}})


def _copied(path: Path, out: Path | None) -> Path:
    """Where the output is to be found: in the workspace, and in the folder `out` where that is given."""
    if out is None:
        return path
    write_atomic(out / path.name, path.read_bytes())
    return out / path.name


def _prompts(given: list[str] | None, file: Path | None) -> list[str]:
    if file is None:
        return list(given or [""])
    lines = lines_of(file)
    if not lines:
        raise ValueError(f"{file}: there is no prompt in it. Write one on each line.")
    return [*(given or []), *lines]


def _finished(model: Model, asked: engine.Request, screen: Screen) -> engine.Draft:
    """The finished draft, with a bar while it grows."""
    total, last = engine.steps(model, asked), None
    with screen.progress("Generating", total) as bar:
        for steps, draft in enumerate(engine.generate(model, asked), start=1):
            ended = f"{sum(draft.ended)} of {len(draft.ended)} ended" if any(draft.ended) else ""
            bar.update(min(steps, total), ended)
            last = draft
    assert last is not None, "there is a prompt, so there is a draft"
    return last


def _streamed(model: Model, asked: engine.Request, screen: Screen) -> engine.Draft:
    """The finished draft, shown while it grows."""
    last, shown = None, ""
    for last in engine.generate(model, asked):
        text = str(last.items[0])
        assert text.startswith(shown), "what was shown stays"
        screen.text(text[len(shown) :])
        shown = text
    assert last is not None, "there is a prompt, so there is a draft"
    screen.text("\n")
    return last
