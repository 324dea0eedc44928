"""`genloom evaluate`: how good a model is, and what its samples are made from."""

import json
import math
from pathlib import Path
from typing import Literal

from genloom.cli.battery import TASKS, chosen, evaluate_battery
from genloom.cli.copies import copied_lines, spans_report
from genloom.cli.features import SAMPLES, evaluate_features, evaluate_prompted, features_of
from genloom.cli.learned import Learned, learned_from
from genloom.cli.numbers import Count, Seed, Temperature
from genloom.cli.out import folder_at
from genloom.cli.screen import Screen
from genloom.cli.shared import Shared
from genloom.evaluate.charts import likelihood_bars, training_curve
from genloom.evaluate.floor import floor
from genloom.evaluate.likelihood import Pieces
from genloom.evaluate.report import Evaluation, to_report
from genloom.evaluate.samples import variety
from genloom.generate import engine
from genloom.likelihood import Told, size, surprise
from genloom.model import Model, open_model
from genloom.rate.wording import counted
from genloom.store.dataset import Dataset
from genloom.store.files import write_atomic
from genloom.store.workspace import Workspace
from genloom.train.log import read_log
from genloom.trust.copied import Copied, copied

TEXTS = 8  # samples where nobody says how many


def run(
    model: str,
    /,
    *,
    data: str | None = None,
    split: Literal["val", "test"] = "val",
    samples: Count | None = None,
    length: Count | None = None,
    temperature: Temperature = 0.8,
    seed: Seed = 0,
    most: Count = 300_000,
    battery: bool = False,
    tasks: str = ",".join(TASKS),
    items: Count | None = None,
    precision: str | None = None,
    out: Path | None = None,
    shared: Shared = Shared(),
) -> None:
    """Measure a model on held-out data, and what its samples are made from.

    Of text, prints bits per byte with an interval beside what counting n-grams reaches, how varied samples are, and the
    longest span each copied from the training text beside what unseen text shares by chance. Of pictures, how far they
    lie from held-out ones with the same captions, how varied they are, and the training pictures nearest to each.
    Leaves charts and a JSON report.

    Parameters
    ----------
    model
        A model, like notes or notes/2.
    data
        Another data set to measure on. Default: the one it learned from.
    split
        Which held-out part: val was looked at while training, test never.
    samples
        How many samples to make. Default: 8 texts, or 200 pictures.
    length
        How many symbols each sample has at most. Default: 400.
    temperature
        How daring the samples are.
    seed
        Another number writes other samples.
    most
        How many bytes of held-out text to read at most: passages drawn by chance, the same ones for every model.
    battery
        Ask it a few hundred questions instead: what it completes, knows, reckons and follows, or whether it draws the
        things, counts, colours and positions that prompts name.
    tasks
        Which questions of the battery: cloze, choice, arithmetic, instructions, with commas between.
    items
        How many questions of each task at most. Default: all.
    precision
        How exactly it computes: float32, bfloat16, int8, int4 or auto, as generate takes it. Default: float32, and auto
        for the battery.
    out
        The folder for report and charts. Default: reports/<model> in the workspace, reports/<model>-on-<data> for data
        that it did not learn from.
    """
    workspace, screen = shared.open()
    reports = None if out is None else folder_at(out)
    opened = open_model(workspace, model, (), precision or ("auto" if battery else "float32"))
    folder = reports or report_folder(workspace, opened)
    seen = features_of(opened)
    if battery and seen is not None:
        evaluate_prompted(opened, items or 0, seed, folder, screen)
        return
    if battery:
        evaluate_battery(opened, chosen(tasks), items or 0, folder / "battery.json", screen)
        return
    dataset, learned = measured_on(workspace, opened, data), learned_from(workspace, opened)
    folder = reports or report_folder(workspace, opened, dataset)
    if seen is not None:
        evaluate_features(workspace, opened, seen, dataset, learned, split, samples or SAMPLES, seed, folder, screen)
        return
    sampling = (samples or TEXTS, length, temperature, seed)
    evaluation, found = _measured(opened, dataset, learned, split, sampling, most, screen)
    report = {**to_report(evaluation), "copied": {**learned.report(), **spans_report(found)}, "split": split}
    write_atomic(folder / "evaluation.json", json.dumps(report, indent=1, ensure_ascii=False))
    write_atomic(folder / "likelihood.png", likelihood_bars([evaluation]))
    curve = _curve(workspace, opened, evaluation)
    if curve is not None:
        write_atomic(folder / "training.png", curve)
    for line in [*_lines(evaluation, split), *copied_lines(learned, found)]:
        screen.say(line)
    screen.say(f"Report and charts in {folder}")
    screen.result({**report, "folder": str(folder)})


def _measured(
    model: Model,
    dataset: Dataset,
    learned: Learned,
    split: Literal["val", "test"],
    sampling: tuple[int, int | None, float, int],
    most: int,
    screen: Screen,
) -> tuple[Evaluation, Copied | None]:
    count, length, temperature, seed = sampling
    pieces = held_pieces(model, dataset, split, most, screen)
    screen.note("Counting n-grams")
    held = held_texts(model, dataset, split, most)
    plain = [told for told in held if isinstance(told, str)]  # counting cannot tell an answer from what was asked
    least = floor((i.value for i in dataset.documents("train")), plain) if len(plain) == len(held) else None
    screen.note(f"Writing {counted(count, 'sample')}")
    asked = engine.request([""], count, seed, (), {"length": length, "temperature": temperature})
    texts = [item for portion in engine.portions(asked) for item in engine.finished(model, portion).items]
    found = None
    if learned.datasets:
        screen.note("Looking for copies")
        found = copied(texts, learned.documents("train"), learned.datasets[0].documents(split))
    evaluation = Evaluation(model.ref, f"{dataset.name}@{dataset.digest[:12]}:{split}", pieces, least, variety(texts))
    return evaluation, found


def measured_on(workspace: Workspace, model: Model, data: str | None) -> Dataset:
    """The data set asked for, else the very version that the model learned from. ValueError for one of another kind."""
    if data is not None:
        dataset = workspace.dataset(data)
        if dataset.medium != model.design.medium:
            raise ValueError(
                f"{model.ref} makes {model.design.medium}, and {dataset.name!r} holds {dataset.medium}. Measure it on "
                "data of its own kind (genloom list data)."
            )
        return dataset
    assert model.folder is not None, "it was opened from the workspace"
    learned = model.folder.card.get("data")
    if learned is None:
        raise ValueError(f"{model.ref} was not trained here. Say on which data set to measure it: --data NAME")
    return workspace.dataset(learned["name"], learned["digest"])


def report_folder(workspace: Workspace, model: Model, dataset: Dataset | None = None) -> Path:
    """Where the report of a model is kept; one on data that it did not learn from stands beside that on its own."""
    assert model.folder is not None, "it was opened from the workspace"
    own = (model.folder.card.get("data") or {}).get("digest")
    name = model.ref if dataset is None or dataset.digest == own else f"{model.ref}-on-{dataset.name}"
    return workspace.root / "reports" / name.replace("/", "-")


def held_pieces(model: Model, dataset: Dataset, split: Literal["val", "test"], most: int, screen: Screen) -> Pieces:
    """What held-out text costs the model, piece by piece."""
    held = held_texts(model, dataset, split, most)
    if not held:
        raise ValueError(
            f"The data set {dataset.name!r} holds no {split} text. Collect more, or measure on another with --data."
        )
    pairs: list[tuple[float, int]] = []
    total = sum(size(told) for told in held)
    with screen.progress("Reading held-out text", total) as bar:
        done = 0
        for pair in surprise(model, held):
            pairs.append(pair)
            done += pair[1]
            bar.update(done)
    return Pieces.of(pairs)


def held_texts(model: Model, dataset: Dataset, split: Literal["val", "test"], most: int) -> list[Told]:
    """What stands for all held-out text, in pieces of a few thousand characters for the interval, up to `most` bytes.

    Conversations stay whole, for a model that knows roles: of them the answers are measured, given what was asked.
    """
    held: list[Told] = []
    room = most
    speaks = getattr(model.codec, "roles", None) is not None
    for item in dataset.passages(split, most):
        turns = item.meta.get("turns") if speaks else None
        for told in [turns] if turns else [item.value[n : n + 4000] for n in range(0, len(item.value), 4000)]:
            held.append(told)
            room -= size(told)
            if room < 0:
                return held
    return held


def _curve(workspace: Workspace, model: Model, evaluation: Evaluation) -> bytes | None:
    """The training curve, where the run's log is still there."""
    assert model.folder is not None
    try:
        rows = read_log(workspace.run(model.folder.card.get("run", "")).folder / "progress.jsonl")
    except ValueError:  # it was imported, or the run was removed
        return None
    taken = [row for row in rows if "losses" in row]
    if not taken:
        return None
    held = [(row["step"], row["bits_per_byte"]) for row in rows if "bits_per_byte" in row]
    bits = [next(iter(row["losses"].values())) / math.log(2) for row in taken]
    unit = "bits a symbol" if model.design.codec != "bytes" else "bits per byte"
    shown = held if unit == "bits per byte" else ()
    least = evaluation.floor.bits_per_byte.mean if evaluation.floor and unit == "bits per byte" else None
    return training_curve([row["step"] for row in taken], bits, shown, least, f"Training {model.ref}", unit)


def _lines(evaluation: Evaluation, split: str) -> list[str]:
    bits, seen = evaluation.bits_per_byte, evaluation.variety
    measured = int(evaluation.pieces.bytes.sum())
    lines = [
        f"{evaluation.model} on {measured:,} bytes of held-out text ({split}):",
        f"  {bits.mean:.3f} bits per byte (95 % interval {bits.low:.3f} to {bits.high:.3f}); less is better",
    ]
    if evaluation.floor is not None:
        least = evaluation.floor.bits_per_byte
        lines.append(f"  {least.mean:.3f} is what counting {evaluation.floor.order}-grams reaches (Kneser-Ney)")
    if seen is not None:
        one, two, three, four = (f"{share:.0%}" for share in seen.distinct)
        runs = f"words {one}, runs of two {two}, of three {three}, of four {four}"
        lines.append(f"{counted(seen.count, 'sample')} it wrote:")
        lines.append(f"  distinct: {runs} (distinct-1 to -4)")
        inside, alike = f"{seen.repeated:.1%}", f"{seen.alike:.1%}"
        lines.append(f"  repeated: {inside} of the runs of four in a sample; {alike} are in others too")
        if seen.longest_loop:
            lines.append(f"  {seen.longest_loop} words at most go round in a loop")
    return lines
