"""Evaluation of molecules: validity, novelty and variety, likeness to held-out ones, goals reached, alerts, copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genloom.evaluate import default
from genloom.evaluate.battery import Battery
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.molecule import measures
from genloom.evaluate.report import Report, without_interval
from genloom.evaluate.sampling import generate_for_items
from genloom.evaluate.training_sources import TrainingSources
from genloom.media.molecule.fingerprints import identify_value
from genloom.media.molecule.hazards import AGENT, ASSAY, UNWANTED, screen_mol
from genloom.media.molecule.molecule import Mol, Molecule, find_mol
from genloom.media.molecule.properties import PROPERTIES, compute_mol_properties
from genloom.model import Model
from genloom.train.data.conditions import get_values
from genloom.types import Item

DEFAULT_NUM_SAMPLES = 256
PROPERTY_NAMES = ("logp", "qed", "mw", "sa", "tpsa")  # whose distributions are compared

BATTERY: Battery | None = None
compare = default.compare


@dataclass(frozen=True)
class Figures:
    """Measures of generated molecules by name, and lines on them for people."""

    values: Mapping[str, float]
    lines: Sequence[str]


def evaluate(context: EvaluationContext) -> Report:
    """Measure the shared figures and those of MOSES beside held-out molecules, and whether conditions are followed."""
    count = context.options.num_samples or DEFAULT_NUM_SAMPLES
    items = list(context.dataset.sample_documents(context.split, count))
    outputs: list[Molecule] = generate_for_items(context.model, context.options, items, context.progress)
    report = default.build_report(context, items, outputs)
    held_out = [item.value for item in items]
    parts = [
        measure_variety(outputs, context.sources),
        measure_likeness(outputs, held_out),
        measure_alerts(outputs),
        measure_followed(context.model, items, outputs),
    ]
    values = {name: value for part in parts for name, value in part.values.items()}
    numbers = {name: without_interval(value, len(outputs)) for name, value in values.items() if name in MAIN_MEASURES}
    return replace(
        report,
        measures={**report.measures, **numbers},
        details={**report.details, "molecules": values},
        lines=[*report.lines, *(line for part in parts for line in part.lines)],
    )


MAIN_MEASURES = ("unique", "novel", "nearest held-out molecule", "internal diversity")


def list_mols(molecules: Sequence[Molecule]) -> list[Mol]:
    """Return the valid ones of molecules for rdkit."""
    return [mol for molecule in molecules if (mol := find_mol(molecule)) is not None]


def measure_variety(outputs: Sequence[Molecule], sources: TrainingSources) -> Figures:
    """Measure the shares of valid, of unique among valid, and of novel among unique molecules."""
    valid = [identify_value(output) for output in outputs if find_mol(output) is not None]
    unique = set(valid)
    values = {
        "valid molecules": len(valid) / max(len(outputs), 1),
        "unique": len(unique) / max(len(valid), 1),
    }
    lines = [f"  {values['valid molecules']:.1%} are valid, and {values['unique']:.1%} of these unique"]
    if not sources.datasets:
        return Figures(values, [*lines, "  copied from training molecules: unknown, the data are not here"])
    known = {item.value.smiles for item in sources.documents("train") if item.value.smiles in unique}
    values["novel"] = 1 - len(known) / max(len(unique), 1)
    return Figures(
        values, [*lines, f"  {values['novel']:.1%} of the unique ones are in none of {sources.joined_names}"]
    )


def measure_likeness(outputs: Sequence[Molecule], held_out: Sequence[Molecule]) -> Figures:
    """Compare generated molecules with held-out ones: nearest, scaffolds, fragments, diversity, properties."""
    generated, reference = list_mols(outputs), list_mols(held_out)
    if not generated or not reference:
        return Figures({}, [])
    fingerprints, references = (measures.build_fingerprints(mols) for mols in (generated, reference))
    scaffolds, fragments = (
        measures.compare_counts(count(generated), count(reference))
        for count in (measures.count_scaffolds, measures.count_fragments)
    )
    values = {
        "nearest held-out molecule": float(measures.measure_snn(fingerprints, references).mean()),
        "scaffolds": scaffolds,
        "fragments": fragments,
        "internal diversity": measures.measure_internal_diversity(fingerprints),
        "internal diversity of held-out molecules": measures.measure_internal_diversity(references),
    }
    rows = [compute_mol_properties(mol, PROPERTY_NAMES) for mol in (*generated, *reference)]
    distances = {
        name: measures.measure_wasserstein(
            [row[name] for row in rows[: len(generated)]], [row[name] for row in rows[len(generated) :]]
        )
        for name in PROPERTY_NAMES
    }
    means = {name: float(np.mean([row[name] for row in rows[: len(generated)]])) for name in PROPERTY_NAMES}
    nearest, diversity = values["nearest held-out molecule"], values["internal diversity"]
    held_diversity = values["internal diversity of held-out molecules"]
    lines = [
        f"Beside {len(reference)} held-out molecules (definitions of MOSES, on these samples only):",
        f"  similarity to the nearest {nearest:.3f}, scaffolds {scaffolds:.3f}, fragments {fragments:.3f}",
        f"  internal diversity {diversity:.3f} (held out: {held_diversity:.3f})",
        "  distance of distributions: " + ", ".join(f"{name} {value:.3g}" for name, value in distances.items()),
    ]
    return Figures({**values, **{f"distance of {name}": value for name, value in distances.items()},
                    **{f"mean {name}": value for name, value in means.items()}}, lines)  # fmt: skip


def measure_alerts(outputs: Sequence[Molecule]) -> Figures:
    """Measure the share of valid molecules with alerts, and those that would be withheld."""
    mols = list_mols(outputs)
    screened = [screen_mol(mol, (AGENT, UNWANTED, ASSAY)) for mol in mols]
    warned, withheld = sum(map(bool, screened)), sum(alert.is_withheld for alerts in screened for alert in alerts[:1])
    values = {"with alerts": warned / max(len(mols), 1), "withheld": withheld / max(len(mols), 1)}
    return Figures(values, [f"  {values['with alerts']:.1%} have alerts (PAINS, BRENK), {withheld} are withheld"])


def measure_followed(model: Model, items: Sequence[Item], outputs: Sequence[Molecule]) -> Figures:
    """Measure how near the properties of molecules are to those that they were asked for."""
    names = [name for name in model.conditioners if name in PROPERTIES]
    errors: dict[str, list[float]] = {name: [] for name in names}
    for item, output in zip(items, outputs, strict=True):
        mol = find_mol(output)
        for name, value in get_values(model.conditioners, item).items():
            if name in errors and mol is not None and value is not None:
                errors[name].append(abs(PROPERTIES[name].compute(mol) - float(np.ravel(value)[0])))
    found = {name: np.array(values) for name, values in errors.items() if values}
    if not found:
        return Figures({}, [])
    values: dict[str, Any] = {}
    for name, deviations in found.items():
        softness = PROPERTIES[name].softness
        values[f"{name} within {softness / 2:g}"] = float((deviations <= softness / 2).mean())
        values[f"mean error of {name}"] = float(deviations.mean())
    texts = (f"{name} {share:.0%}" for name, share in values.items() if " within " in name)
    return Figures(values, [f"As asked for: {', '.join(texts)}"])
