"""`genloom generate`: a model writes."""

from pathlib import Path
from typing import Any

from genloom.cli.screen import Screen
from genloom.cli.shared import Shared
from genloom.generate import engine
from genloom.model import Model, open_model
from genloom.store.files import write_atomic


def run(
    model: str | None = None,
    /,
    *,
    adapter: list[str] | None = None,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    count: int = 1,
    length: int | None = None,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    stop: list[str] | None = None,
    seed: int | None = None,
    precision: str = "auto",
    out: Path | None = None,
    replay: str | None = None,
    shared: Shared = Shared(),
) -> None:
    """Write with a model; every output is stored and can be traced and replayed.

    Parameters
    ----------
    model
        A model, like notes (its newest version) or notes/2.
    adapter
        A model that was tuned on the same base with --method lora: what it learned is added. Repeat for several.
    prompt
        What the text begins with. Repeat for several.
    prompts
        A file with one prompt a line.
    count
        How many outputs for each prompt.
    length
        How many symbols to write at most: letters, or pieces of words where the model has those. Default: 400.
    temperature
        How daring: 0 always takes the likeliest symbol, 1 draws as the model believes.
    top_k
        Only draw from so many likeliest symbols.
    top_p
        Only draw from the likeliest symbols that make up this share of the belief.
    min_p
        Only draw from symbols at least this likely compared with the likeliest.
    repetition_penalty
        Above 1, symbols that stand in the text already become less likely.
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
    if replay is not None:
        path, item = engine.replay(workspace, replay)
        screen.text(f"{item}\n")
        screen.note(f"The same bytes as {path}")
        screen.result({"id": replay, "file": str(path), "text": str(item), "identical": True})
        return
    if model is None:
        raise ValueError("Which model shall write? Name one: genloom generate MODEL (genloom list shows them)")
    if length is not None and length < 1:
        raise ValueError(f"--length {length} leaves nothing to write. Give a number above 0.")
    controls = {
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    opened = open_model(workspace, model, adapter or (), precision)
    asked = engine.request(_prompts(prompt, prompts), count, seed, stop or (), controls)
    results: list[dict[str, Any]] = []
    for portion in engine.portions(asked):
        streamed = screen.live and len(asked.prompts) == 1 and engine.left_to_right(opened)
        draft = _streamed(opened, portion, screen) if streamed else _written(opened, portion, screen)
        ids = engine.store(workspace, opened, portion, draft)
        for output, started, item, written in zip(ids, portion.prompts, draft.items, draft.written, strict=True):
            path = _copied(workspace.output(output)[0], out)
            results.append({"id": output, "prompt": started, "text": item, "written": written, "file": str(path)})
            if streamed:
                screen.note(f"── {output} · {path}")
            else:
                screen.say(f"── {len(results)} of {len(asked.prompts)} · {output} · {path}")
                screen.text(f"{item}\n\n")
    screen.result({"model": opened.ref, "adapters": list(opened.adapters), "outputs": results})


def _copied(path: Path, out: Path | None) -> Path:
    """Where the output is to be found: in the workspace, and in the folder `out` where that is given."""
    if out is None:
        return path
    write_atomic(out / path.name, path.read_bytes())
    return out / path.name


def _prompts(given: list[str] | None, file: Path | None) -> list[str]:
    if file is None:
        return list(given or [""])
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: these prompts cannot be read: {error}. It must be a UTF-8 text file.") from None
    if not lines:
        raise ValueError(f"{file}: there is no prompt in it. Write one on each line.")
    return [*(given or []), *lines]


def _written(model: Model, asked: engine.Request, screen: Screen) -> engine.Draft:
    """The finished draft, with a bar while it grows."""
    length = int(asked.controls.get("length") or engine.LENGTH)
    last = None
    with screen.progress("Writing", length) as bar:
        for steps, draft in enumerate(engine.generate(model, asked), start=1):
            ended = f"{sum(draft.ended)} of {len(draft.ended)} ended" if any(draft.ended) else ""
            bar.update(min(steps, length), ended)
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
