"""How often a batch of molecules is recognised by its mark, after which changes, and what other ways would cost.

    python bench/marks_molecules.py --batches 100                   # of 20 molecules of the built-in model
    python bench/marks_molecules.py --batches 100 --goal "logp=2..3 qed>0.7"
    python bench/marks_molecules.py --best-of                       # by how many tries a keyed choice would mark them

A batch is found at p < 1e-6, by the probabilities of the model, after all corrections. The molecules are read
as they were written, in canonical form, from another program (Kekulé form without stereochemistry, then
canonical again), as a tenth of them are replaced by molecules of an unmarked batch, and by another key.
`--best-of` simulates the way that was not taken: of N molecules, the one is kept whose InChIKey has the highest
hash by key and pool index.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from genloom.generate import engine, sampling_params
from genloom.generate.marking import mark_request
from genloom.media.molecule.libraries import load_chem
from genloom.media.molecule.molecule import Molecule, canonicalise_molecule
from genloom.model import Model, load_model
from genloom.noise import TOKEN_POOL_SIZE
from genloom.store.workspace import Workspace
from genloom.trust.batch_marks import read_evidence
from genloom.trust.marks import MAX_P_VALUE, iter_readings
from genloom.trust.token_marks import combine_evidence, compute_log_gamma_tail

SIZES = (1, 5, 10, 20)
CONDITIONS = ("as written", "canonical", "by another program", "a tenth replaced", "unmarked", "another key")
LEVEL = math.log(MAX_P_VALUE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="molecules")
    parser.add_argument("--goal", default="", help="goals of each batch, which choose among more molecules")
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "genloom-marks")
    parser.add_argument("--conditions", nargs="*", choices=CONDITIONS, default=CONDITIONS)
    parser.add_argument("--best-of", action="store_true")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    if args.best_of:
        simulate_best_of()
        return
    workspace = Workspace(args.workspace)
    model = load_model(workspace, args.model)
    marked, noise_key = generate_molecules(workspace, model, args, is_marked=True)
    plain, _ = generate_molecules(workspace, model, args, is_marked=False)
    num_valid = sum(is_valid(molecule) for molecule in marked)
    same = sum(canonicalise_molecule(molecule) == molecule for molecule in marked)
    share = f"{same / len(marked):.1%} written in canonical form"
    print(f"{len(marked)} molecules, {num_valid} valid, {share}", flush=True)
    rng = np.random.default_rng(args.seed)
    replaced = [b if rng.random() < 0.1 else a for a, b in zip(marked, plain, strict=True)]
    values = dict(
        zip(
            CONDITIONS,
            (
                marked,
                apply_all(canonicalise_molecule, marked),
                apply_all(rewrite_molecule, marked),
                apply_all(canonicalise_molecule, replaced),
                plain,
                marked,
            ),
            strict=True,
        )
    )
    for name in args.conditions:
        key = noise_key ^ 0x5EED if name == "another key" else noise_key
        measure_batches(model, name, values[name], key, args.batches)


def generate_molecules(
    workspace: Workspace, model: Model, args: argparse.Namespace, is_marked: bool
) -> tuple[list[Molecule], int]:
    """Return molecules, and the key of their noise."""
    if args.goal:
        return generate_for_goal(args, is_marked)
    params = sampling_params.add_suggested_params(model, {})
    count, seed = args.batches * max(SIZES), args.seed if is_marked else args.seed + 1
    request = engine.build_request([""], count, seed, (), params)
    key = 0
    if is_marked:
        request = mark_request(workspace, model, request)
        key = request.noise_key
    batches = engine.split_batches(request, 256)
    return [value for batch in batches for value in engine.run_request(model, batch).values], key


def generate_for_goal(args: argparse.Namespace, is_marked: bool) -> tuple[list[Molecule], int]:
    """Return molecules that were chosen for goals, a batch for each seed, as the command gives them."""
    import genloom as gl
    from genloom.store.keys import MarkingKeys, derive_noise_key

    ws = gl.Workspace(args.workspace)
    found: list[Molecule] = []
    for number in range(args.batches):
        seed = 1000 * (args.seed + (not is_marked)) + number
        outputs = ws.model(args.model).generate(n=max(SIZES), seed=seed, goal=args.goal, is_marked=is_marked)
        found += [output.value for output in outputs]
    return found, derive_noise_key(MarkingKeys(ws.folder).get_active().secret, "molecule")


def is_valid(molecule: Molecule) -> bool:
    return load_chem().MolFromSmiles(molecule.smiles) is not None


def apply_all(function: Callable[[Molecule], Molecule], molecules: Sequence[Molecule]) -> list[Molecule]:
    return [function(molecule) for molecule in molecules]


def rewrite_molecule(molecule: Molecule) -> Molecule:
    """Return a molecule as another program may hand it on: in Kekulé form, from another atom, without chirality."""
    chem = load_chem()
    mol = chem.MolFromSmiles(molecule.smiles)
    if mol is None or not mol.GetNumAtoms():
        return molecule
    chem.Kekulize(mol, clearAromaticFlags=True)
    text = chem.MolToSmiles(
        mol, isomericSmiles=False, kekuleSmiles=True, rootedAtAtom=mol.GetNumAtoms() - 1, canonical=False
    )
    return Molecule(text)


def measure_batches(model: Model, name: str, molecules: Sequence[Molecule], key: int, batches: int) -> None:
    """Print how many batches of each size are found."""
    assert model.folder is not None
    readings = [each for value in molecules for each in iter_readings("molecule", [model.folder], value, None)]
    evidence = list(read_evidence(model, readings, [key]).values())
    for size in SIZES:
        count = min(batches, len(molecules) // size)
        log_p = []
        for number in range(count):
            rows = slice(number * size, (number + 1) * size)
            log_p.append(min(min(combine_evidence(each[rows]) for each in evidence) + math.log(len(evidence)), 0.0))
        found = sum(each < LEVEL for each in log_p)
        tens = np.array(log_p) / math.log(10)
        extreme = f"the weakest 1e{tens.max():.1f}" if found else f"the strongest 1e{tens.min():.1f}"
        bound = f" (at least {0.05 ** (1 / count):.1%})" if found == count else ""
        print(f"{name:20} {size:3}: {found} of {count}{bound}; p = 1e{np.median(tens):.0f}, {extreme}", flush=True)


def simulate_best_of() -> None:
    """Print the share of batches that a keyed choice of one of N molecules would let recognise, by N."""
    rng, trials = np.random.default_rng(0), 4000
    for size in (20, 50, 100):
        for tries in (2, 4, 8, 12, 16, 20, 24, 32):
            u = rng.random((trials, size)) ** (1 / tries)  # the highest of N hashes
            scores = -np.log1p(-u).sum(1)
            tails = [compute_log_gamma_tail(size, float(score)) for score in scores]
            log_p = np.array(tails) + math.log(TOKEN_POOL_SIZE)
            print(f"batches of {size}, one of {tries:2} kept: {(log_p < LEVEL).mean():.1%} found", flush=True)


if __name__ == "__main__":
    main()
