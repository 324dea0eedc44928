"""Safeguards of molecules: validity, variety, alerts and copies of training molecules.

The held-out loss is none of them: learning towards a goal leaves the distribution of the data on purpose.
"""

from collections import Counter
from collections.abc import Sequence

from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.media.molecule.fingerprints import find_family, identify_value
from genloom.media.molecule.hazards import AGENT, ASSAY, UNWANTED, screen_mol
from genloom.media.molecule.molecule import Molecule, find_mol
from genloom.model import Model
from genloom.rate.gate import Measure, measure_scores
from genloom.store.workspace import Workspace

VALIDITY_TOLERANCE = 0.05  # share of the outputs that may be invalid
REPEAT_TOLERANCE = 0.1  # share of the outputs that may repeat another one
SCAFFOLD_TOLERANCE = 0.3  # share of the outputs that may share a scaffold with another one, since goals narrow them
ALERT_TOLERANCE = 0.2  # alerts a molecule
COPY_TOLERANCE = 0.1  # share of the outputs that may be training molecules


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure valid and distinct molecules, distinct scaffolds, alerts and, if the data are here, copies."""
    before, after = answers.champion, answers.challenger
    repeats, new_repeats = list_repeats(before), list_repeats(after)
    scaffolds, new_scaffolds = list_shared_scaffolds(before), list_shared_scaffolds(after)
    measures = [
        measure_scores(
            "valid molecules", "check", list_validity(before), list_validity(after), tolerance=VALIDITY_TOLERANCE
        ),
        measure_scores("repeated molecules", "regression", repeats, new_repeats, "lower", REPEAT_TOLERANCE),
        measure_scores("shared scaffolds", "regression", scaffolds, new_scaffolds, "lower", SCAFFOLD_TOLERANCE),
        measure_scores("alerts", "check", count_alerts(before), count_alerts(after), "lower", ALERT_TOLERANCE),
    ]
    return [*measures, *measure_copies(workspace, champion, answers)]


def list_validity(molecules: Sequence[Molecule]) -> list[float]:
    return [float(find_mol(molecule) is not None) for molecule in molecules]


def list_repeats(molecules: Sequence[Molecule]) -> list[float]:
    """Return 1 for every molecule that occurs before another time."""
    return flag_repeats([identify_value(molecule) for molecule in molecules])


def list_shared_scaffolds(molecules: Sequence[Molecule]) -> list[float]:
    """Return 1 for every molecule whose scaffold occurs before; molecules without rings share none."""
    return flag_repeats([find_family(molecule) for molecule in molecules])


def flag_repeats(keys: Sequence[str]) -> list[float]:
    """Return 1 for every key that occurs before, and 0 for the first of its kind and for empty ones."""
    seen = Counter[str]()
    flags = []
    for key in keys:
        flags.append(float(bool(key) and seen[key] > 0))
        seen[key] += 1
    return flags


def count_alerts(molecules: Sequence[Molecule]) -> list[float]:
    """Return the number of hazard alerts of each molecule; an invalid one has none."""
    mols = [find_mol(molecule) for molecule in molecules]
    return [0.0 if mol is None else float(len(screen_mol(mol, (AGENT, UNWANTED, ASSAY)))) for mol in mols]


def measure_copies(workspace: Workspace, model: Model, answers: AnswerPairs) -> list[Measure]:
    """Measure the share of molecules that the training data have too."""
    if (dataset := default.get_dataset(workspace, model)) is None:
        return []
    keys = [[identify_value(value) for value in values] for values in (answers.champion, answers.challenger)]
    wanted = {key for side in keys for key in side}
    known = {item.value.smiles for item in dataset.iter_documents("train") if item.value.smiles in wanted}
    before, after = ([float(key in known) for key in side] for side in keys)
    return [measure_scores("copies of training molecules", "regression", before, after, "lower", COPY_TOLERANCE)]
