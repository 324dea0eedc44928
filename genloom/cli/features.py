"""What evaluate and compare measure and show of models whose outputs are compared in features, as pictures are."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import plugins
from genloom.cli.battery import interval, percent, show_gaps
from genloom.cli.copies import lookalike_lines, lookalikes_report
from genloom.cli.learned import Learned
from genloom.cli.screen import Screen, table
from genloom.codecs import codes
from genloom.codecs.autoencoder import Autoencoder
from genloom.evaluate.appearance import LEAST, Appearance, Distance, Reconstruction, appearance, distance, nearer, psnr
from genloom.evaluate.battery.score import Score, gaps
from genloom.evaluate.charts import shares_chart
from genloom.evaluate.faithfulness import detector, prompts, scores
from genloom.evaluate.sheets import Row, Shown, sheet
from genloom.generate import engine
from genloom.likelihood import mean_loss
from genloom.model import Model
from genloom.store.dataset import Dataset, Split
from genloom.store.files import replaced, write_atomic
from genloom.store.workspace import Workspace
from genloom.train.samples import encoded, together
from genloom.trust.lookalike import Lookalikes, lookalikes
from genloom.types import Item

SAMPLES = 200  # where nobody says how many
_LITERAL = str.maketrans({mark: f"\\{mark}" for mark in "():\\"})
_SHOWN = 24  # samples on the sheets
_CALIBRATED = 200  # held-out values that the threshold of a near copy rests on


def features_of(model: Model) -> ModuleType | None:
    """The features that the model's medium is compared in; None where it is compared in another way, as texts are."""
    named = getattr(plugins.find("medium", model.design.medium), "features", "")
    return plugins.find("features", named) if named else None


@dataclass(frozen=True)
class Made:
    """A model's outputs on held-out captions, with the held-out items and the features of both."""

    outputs: list[Any]
    features: NDArray[np.float32]
    held: list[Item]
    held_features: NDArray[np.float32]


def evaluate_features(
    workspace: Workspace,
    model: Model,
    seen: ModuleType,
    dataset: Dataset,
    learned: Learned,
    split: Split,
    count: int,
    seed: int,
    folder: Path,
    screen: Screen,
) -> None:
    """Measure, tell, and leave a report and sheets in `folder`."""
    extract = seen.extractor()
    made = made_on(workspace, model, seen, extract, dataset, split, count, seed, screen)
    screen.note("Reading training data")
    train = fitted(model, list(dataset.sample("train", len(made.held))))
    told = appearance(
        model.ref,
        f"{dataset.name}@{dataset.digest[:12]}:{split}",
        held_loss(model, made.held),
        made.features,
        made.held_features,
        extract([item.value for item in train]),
        reconstruction(model, made, extract),
    )
    copies = None
    if learned.datasets:
        screen.note("Looking for copies")
        held = calibrating(model, made, dataset, learned.datasets[0], split)
        copies = lookalikes(made.outputs, learned.documents("train"), held, seen.sketch, extract)
    facts = {**learned.report(), **lookalikes_report(copies)}
    report = {**told.report(), "features": seen.KEY, "copied": facts, "split": split}
    write_atomic(folder / "evaluation.json", json.dumps(report, indent=1, ensure_ascii=False))
    write_atomic(folder / "samples.png", samples_sheet(model, made))
    if copies is not None:
        write_atomic(folder / "copied.png", copies_sheet(model, made, copies))
    for line in [*lines(told), *lookalike_lines(learned, copies)]:
        screen.say(line)
    screen.say(f"Report and sheets in {folder}")
    screen.result({**report, "folder": str(folder)})


def made_on(
    workspace: Workspace,
    model: Model,
    seen: ModuleType,
    extract: Any,
    dataset: Dataset,
    split: Split,
    count: int,
    seed: int,
    screen: Screen,
) -> Made:
    """One output for each of `count` held-out captions, and the features of both."""
    held = fitted(model, list(dataset.sample(split, count)))
    if len(held) < LEAST:
        raise ValueError(
            f"{len(held)} things of the part {split} of {dataset.name!r} are too few to tell distances. "
            f"Measure {LEAST} or more: raise --samples, collect more, or name other data with --data."
        )
    captions = [as_prompt(str(item.meta.get("caption", ""))) if model.prompts is not None else "" for item in held]
    outputs = generated(model, captions, seed, screen)
    what = hashlib.sha256(b"".join(np.ascontiguousarray(item.value).tobytes() for item in held)).hexdigest()[:16]
    path = workspace.root / "features" / f"{dataset.digest[:16]}-{split}-{what}-{seen.KEY}.npy"
    return Made(outputs, extract(outputs), held, kept(path, extract, held))


def calibrating(model: Model, made: Made, dataset: Dataset, own: Dataset, split: Split) -> list[Any]:
    """Held-out values of the model's own data, on which the threshold of a near copy rests."""
    held = made.held if dataset.digest == own.digest else fitted(model, list(own.sample(split, _CALIBRATED)))
    return [item.value for item in spread(held, _CALIBRATED)]


def spread(values: Sequence[Any], count: int) -> list[Any]:
    """Up to `count` of them, evenly from first to last: they come in the order collected."""
    count = min(count, len(values))
    return [values[number * len(values) // count] for number in range(count)]


def as_prompt(caption: str) -> str:
    """The prompt that says a caption word for word: what stands for weights in prompts stands for itself in it."""
    return caption.translate(_LITERAL)


def generated(model: Model, captions: Sequence[str], seed: int, screen: Screen) -> list[Any]:
    """What the model makes of each caption."""
    asked = engine.request(captions, 1, seed, (), {}, engine.pool_of(model.codec.space))
    outputs: list[Any] = []
    with screen.progress(f"{model.ref} makes {len(captions)}", len(captions)) as bar:
        for portion in engine.portions(asked):
            outputs += engine.finished(model, portion).items
            bar.update(len(outputs))
    return outputs


def fitted(model: Model, items: Sequence[Item]) -> list[Item]:
    """The items as large as the model makes its own: through the codec that its latent, if it has one, stands on."""
    autoencoder = getattr(model.codec, "autoencoder", None)
    codec = model.codec if autoencoder is None else autoencoder.inside
    return [Item(codec.decode(codec.encode(one.value)), one.source, one.licence, one.meta) for one in items]


def kept(path: Path, extract: Any, items: Sequence[Item]) -> NDArray[np.float32]:
    """The features of values that never change, from the file of an earlier look where there is one."""
    if path.is_file():
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # it was cut short: look again
            found = None
        if found is not None and len(found) == len(items):
            return found
    found = extract(item.value for item in items)
    with replaced(path) as draft, open(draft, "wb") as file:
        np.save(file, found, allow_pickle=False)
    return found


def held_loss(model: Model, held: Sequence[Item]) -> float:
    rows = together(list(encoded(held, model.codec, model.prompts)))
    return mean_loss(model, rows.batch(np.arange(len(rows))))


def coder_of(model: Model) -> Any:
    """What encodes and decodes in the model: itself, rounding as it was trained to, or the codec below it."""
    if not {"encoder", "decoder"} <= set(model.objective.roles):
        return model.codec
    autoencoder, levels = Autoencoder.of_model(model), tuple(getattr(model.objective, "levels", ()))
    return codes.Codec(autoencoder, levels) if levels else autoencoder


def reconstruction(model: Model, made: Made, extract: Any) -> Reconstruction | None:
    """What the codec, or a model that is an autoencoder, loses of the held-out values; None where nothing is lost."""
    coder = coder_of(model)
    values = [item.value for item in made.held]
    back = [coder.decode(coder.encode(value)) for value in values]
    if all(np.array_equal(one, other) for one, other in zip(values, back, strict=True)):
        return None
    return Reconstruction(psnr(values, back), distance(extract(back), made.held_features).frechet)


def compare_features(
    workspace: Workspace,
    models: Sequence[Model],
    seen: ModuleType,
    dataset: Dataset,
    split: Split,
    count: int,
    seed: int,
    path: Path,
    screen: Screen,
) -> None:
    """Both models on the same held-out captions, with a verdict only where blocks of them bear one out."""
    extract = seen.extractor()
    both = [made_on(workspace, model, seen, extract, dataset, split, count, seed, screen) for model in models]
    found = [distance(made.features, made.held_features) for made in both]
    gap = nearer(both[0].features, both[1].features, both[0].held_features)
    verdict = "no difference shown" if not gap.excludes(0.0) else "better" if gap.mean < 0 else "worse"
    rows = [
        Row(Shown(one, str(item.meta.get("caption", ""))), [Shown(other, models[1].ref)])
        for one, other, item in spread(list(zip(both[0].outputs, both[1].outputs, both[0].held, strict=True)), _SHOWN)
    ]
    write_atomic(path, sheet(rows, f"{models[0].ref}, and beside it {models[1].ref}"))
    for model, one in zip(models, found, strict=True):
        screen.say(f"{model.ref}: {told_distance(one)}")
    screen.say(f"{models[1].ref} against {models[0].ref}: {verdict} (kernel distance {gap.mean:+.4f}, ")
    screen.say(f"  95 % interval {gap.low:+.4f} to {gap.high:+.4f}, over {gap.count} blocks of captions)")
    screen.say(f"Sheet: {path}")
    moved = {"mean": gap.mean, "low": gap.low, "high": gap.high}
    facts = [{"model": m.ref, "frechet": d.frechet, "kernel": d.kernel} for m, d in zip(models, found, strict=True)]
    screen.result({"models": facts, "difference": moved, "verdict": verdict, "sheet": str(path)})


def asked_battery(model: Model, items: int, seed: int, screen: Screen) -> tuple[list[Score], bytes]:
    """Whether the model makes what prompts ask for, by the detector that comes with Genloom, and a sheet of it."""
    if model.prompts is None:
        raise ValueError(f"{model.ref} takes no prompts, so it can't be asked for anything. Train one with prompts.")
    asked, eye = prompts(most=items), detector()
    outputs = generated(model, [one.prompt for one in asked], seed, screen)
    found = list(eye.find(outputs))
    rows = [Row(Shown(output, one.prompt)) for output, one in zip(outputs, asked, strict=True)]
    return scores(asked, found, eye.labels.bound), sheet(rows[:: max(1, len(rows) // 100)], f"{model.ref}, as asked")


def evaluate_prompted(model: Model, items: int, seed: int, folder: Path, screen: Screen) -> None:
    """Ask, look, show the table, leave report, chart and sheet in `folder`."""
    found, shown = asked_battery(model, items, seed, screen)
    report = {"model": model.ref, "battery": [score.report() for score in found]}
    write_atomic(folder / "battery.json", json.dumps(report, indent=1))
    write_atomic(folder / "battery.png", shares_chart(found, f"{model.ref}: does it draw what it is asked?"))
    write_atomic(folder / "prompted.png", shown)
    head = ("task", "right", "95 % interval", "prompts", "real scenes, same detector")
    rows = [
        (s.measure, percent(s.accuracy.mean), interval(s.accuracy), str(s.accuracy.count), percent(s.bound))
        for s in found
    ]
    for line in table([head, *rows]):
        screen.say(line)
    screen.say(f"Report, chart and sheet in {folder}")
    screen.result({**report, "folder": str(folder)})


def compare_prompted(models: Sequence[Model], items: int, seed: int, screen: Screen) -> None:
    """What the second model draws rightly more than the first, prompt by prompt."""
    show_gaps(gaps(*(asked_battery(model, items, seed, screen)[0] for model in models)), *models, screen)


def samples_sheet(model: Model, made: Made) -> bytes:
    rows = [
        Row(Shown(output, str(item.meta.get("caption", ""))), [Shown(item.value, "held out")])
        for output, item in spread(list(zip(made.outputs, made.held, strict=True)), _SHOWN)
    ]
    return sheet(rows, f"{model.ref} on held-out captions")


def copies_sheet(model: Model, made: Made, copies: Lookalikes) -> bytes:
    """The samples that lie nearest to a training item, with the nearest of those."""
    order = sorted(range(len(made.outputs)), key=lambda n: copies.matches[n][0].distance if copies.matches[n] else 2.0)
    rows = []
    for number in order[:_SHOWN]:
        beside = [
            Shown(
                match.item.value, f"{match.distance:.2f} {match.item.licence} {match.item.source}", rank == 0 and near
            )
            for rank, match in enumerate(copies.matches[number])
            for near in (copies.near_copy(number),)
        ]
        rows.append(Row(Shown(made.outputs[number], str(made.held[number].meta.get("caption", ""))), beside))
    return sheet(rows, f"What did {model.ref} copy? The samples nearest to training data")


def lines(told: Appearance) -> list[str]:
    """What evaluate says on the screen of how good the model is."""
    near, found, made = told.distance, told.manifold, told.made
    said = [
        f"{told.model} on {near.count} held-out captions ({told.dataset.rpartition(':')[2]}):",
        f"  {told.loss:.4f} held-out loss; less is better, within one objective and codec",
        f"  {told_distance(near)}; less is better",
    ]
    if told.real is not None:
        said.append(f"  {told_distance(told.real)} for training data in its place")
    said.append(f"  precision {found.precision:.0%}, recall {found.recall:.0%} (3 nearest)")
    said.append(f"  density {found.density:.2f}, coverage {found.coverage:.0%} (5 nearest)")
    said.append(
        f"  as varied as {made.vendi:.0f} wholly different ones (Vendi); the held-out ones: {told.held.vendi:.0f}"
    )
    if told.reconstruction is not None:
        lost = told.reconstruction
        said.append(f"Encoded and decoded, held-out data come back at {lost.psnr:.1f} dB (PSNR),")
        said.append(f"  Fréchet distance {lost.frechet:.2f} (rFID)")
    return said


def told_distance(found: Distance) -> str:
    return f"Fréchet distance {found.frechet:.2f}, kernel distance {found.kernel:.4f} ({found.count} on either side)"
