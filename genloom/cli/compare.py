"""`genloom compare`: two models side by side on the same held-out data."""

from pathlib import Path
from typing import Literal

from genloom.cli.battery import TASKS, chosen, compare_battery
from genloom.cli.evaluate import held_pieces, measured_on
from genloom.cli.features import SAMPLES, compare_features, compare_prompted, features_of
from genloom.cli.numbers import Count, Seed
from genloom.cli.out import file_at
from genloom.cli.shared import Shared
from genloom.evaluate.charts import comparison_chart
from genloom.evaluate.compare import compare
from genloom.evaluate.report import Evaluation
from genloom.generate import engine
from genloom.model import open_model
from genloom.store.files import write_atomic


def run(
    first: str,
    second: str,
    /,
    *,
    data: str | None = None,
    split: Literal["val", "test"] = "val",
    prompt: str = "",
    length: Count | None = None,
    samples: Count | None = None,
    seed: Seed = 0,
    most: Count = 300_000,
    battery: bool = False,
    tasks: str = ",".join(TASKS),
    items: Count | None = None,
    precision: str | None = None,
    out: Path | None = None,
    shared: Shared = Shared(),
) -> None:
    """Set two models side by side on the same held-out data.

    Says that one is better only where the interval of their paired difference leaves no doubt.

    Parameters
    ----------
    first
        A model, like notes/1.
    second
        Another one, like notes/2.
    data
        The data set to measure on. Default: the one the first learned from.
    split
        Which held-out part.
    prompt
        What both write from, to be read side by side.
    length
        How many symbols they write at most. Default: 400.
    samples
        How many pictures each makes. Default: 200.
    seed
        Another number writes something else.
    most
        How many bytes of held-out text to read at most: passages drawn by chance, the same ones for every model.
    battery
        Ask both a few hundred questions instead: what they complete, know, reckon and follow.
    tasks
        Which questions of the battery: cloze, choice, arithmetic, instructions, with commas between.
    items
        How many questions of each task at most. Default: all.
    precision
        How exactly it computes: float32, bfloat16, int8, int4 or auto, as generate takes it. Default: float32, and auto
        for the battery.
    out
        Where to put the chart: a PNG file, or a folder to put compare.png into. Default: reports/ in the workspace.
    """
    workspace, screen = shared.open()
    chart = None if out is None else file_at(out, "compare.png")
    wanted = precision or ("auto" if battery else "float32")
    models = [open_model(workspace, ref, (), wanted) for ref in (first, second)]
    kinds = [each.design.medium for each in models]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{models[0].ref} makes {kinds[0]} and {models[1].ref} {kinds[1]}: only models of one kind can be compared."
        )
    seen = features_of(models[0])
    if battery and seen is not None:
        compare_prompted(models, items or 0, seed, screen)
        return
    if battery:
        compare_battery(models[0], models[1], chosen(tasks), items or 0, screen)
        return
    dataset = measured_on(workspace, models[0], data)
    path = chart or workspace.root / "reports" / f"{models[0].ref}-{models[1].ref}.png".replace("/", "-")
    if seen is not None:
        compare_features(workspace, models, seen, dataset, split, samples or SAMPLES, seed, path, screen)
        return
    named = f"{dataset.name}@{dataset.digest[:12]}:{split}"
    measured = [Evaluation(m.ref, named, held_pieces(m, dataset, split, most, screen)) for m in models]
    comparison = compare(measured[0], measured[1])
    asked = engine.request([prompt], 1, seed, (), {"length": length, "temperature": 0.8})
    for model, evaluation in zip(models, measured, strict=True):
        screen.say(f"── {model.ref}: {evaluation.bits_per_byte} bits per byte")
        screen.text(f"{engine.finished(model, asked).items[0]}\n\n")
    write_atomic(path, comparison_chart(comparison))
    screen.say(str(comparison))
    screen.say(f"Chart: {path}")
    screen.result({**comparison.report(), "chart": str(path)})
