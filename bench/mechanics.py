"""The mechanics of designs: published compliances, agreement with pymoto, and the seconds of an optimization.

    OMP_NUM_THREADS=1 python bench/mechanics.py              # all
    OMP_NUM_THREADS=1 python bench/mechanics.py speed --size 64 --steps 20

`published` runs the MBB beam of Andreassen et al. (2011) to its end: 60 × 20 elements, volume 0.5, density filter of
radius 2.4, compliance 233.71. `peer` compares compliances of random densities with those of pymoto, in the plane and in
space. `speed` times steps of optimization in turn with pymoto, and a factorization by the band with SuperLU's.
"""

import argparse
import contextlib
import io
from dataclasses import replace

import numpy as np
import pymoto
from paired import time_paired

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.design_variables import Stage
from genloom.media.design.mechanics.direct_solver import DirectSolver
from genloom.media.design.mechanics.interpolation import VOID_MODULUS, compute_moduli
from genloom.media.design.mechanics.optimization import PLAIN, optimize
from genloom.media.design.mechanics.problem import Problem, build_empty_problem

PUBLISHED = 233.71


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["published", "peer", "speed"])
    parser.add_argument("--size", type=int, default=64, help="elements on a side")
    parser.add_argument("--steps", type=int, default=20, help="of an optimization that is timed")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if "published" in arguments.parts:
        print_published()
    if "peer" in arguments.parts:
        print_agreement()
    if "speed" in arguments.parts:
        print_speed(arguments.size, arguments.steps, arguments.rounds)


def print_published() -> None:
    problem = build_empty_problem((20, 60), 0.5)
    problem.fixed[:, 0, 0] = problem.fixed[-1, -1, 1] = True
    problem.forces[0, 0, 0, 1] = -1
    *_, last = optimize(problem, replace(PLAIN, filter_radius=2.4, stages=(Stage(0, 2000, 0.01),)))
    print(f"MBB beam, 60 × 20: compliance {last.compliance:.2f} after {last.number} steps; published {PUBLISHED}")


def print_agreement() -> None:
    rng = np.random.default_rng(0)
    for shape in ((24, 40), (8, 10, 12)):
        problem = build_clamped_problem(shape)
        differences = []
        for _ in range(5):
            density = rng.uniform(0.1, 1, shape)
            ours, theirs = analyze(problem, density).compliance, compute_peer_compliance(problem, density)
            differences.append(abs(ours / theirs - 1))
        print(f"compliance of {'×'.join(map(str, shape))} against pymoto: differs by at most {max(differences):.1e}")


def build_clamped_problem(shape: tuple[int, ...], volume: float = 0.4) -> Problem:
    """Return a block that is held at its left end, with a force down at the middle of its right one."""
    problem = build_empty_problem(shape, volume)
    problem.fixed[..., 0, :] = True
    problem.forces[(0, *(size // 2 for size in shape[:-1]), -1, 1)] = -1
    return problem


def build_peer(problem: Problem) -> tuple[pymoto.VoxelDomain, np.ndarray, np.ndarray]:
    """Return pymoto's grid, its held degrees of freedom, and its forces; its y grows against our rows."""
    domain = pymoto.VoxelDomain(*problem.shape[::-1])
    fixed, forces = problem.fixed[..., ::-1, :, :], problem.forces[0][..., ::-1, :, :]
    return domain, np.flatnonzero(fixed.ravel()), forces.ravel()


def compute_peer_compliance(problem: Problem, density: np.ndarray) -> float:
    domain, held, forces = build_peer(problem)
    moduli = pymoto.Signal("moduli", state=compute_moduli(density[..., ::-1, :].ravel()))
    stiffness = pymoto.AssembleStiffness(domain, bc=held, plane="stress")(moduli)
    displacement = pymoto.LinSolve(symmetric=True, positive_definite=True)(stiffness, forces)
    return float(displacement.state @ forces)


def optimize_peer(problem: Problem, radius: float, steps: int) -> float:
    """Return the compliance after so many steps of pymoto's optimality criteria."""
    domain, held, forces = build_peer(problem)
    variables = pymoto.Signal("variables", state=np.full(domain.nel, problem.volume))
    with pymoto.Network() as network, contextlib.redirect_stdout(io.StringIO()):
        filtered = pymoto.DensityFilter(domain, radius=radius)(variables)
        moduli = pymoto.MathExpression(f"{VOID_MODULUS} + {1 - VOID_MODULUS}*inp0^3")(filtered)
        stiffness = pymoto.AssembleStiffness(domain, bc=held, plane="stress")(moduli)
        displacement = pymoto.LinSolve(symmetric=True, positive_definite=True)(stiffness, forces)
        compliance = pymoto.EinSum("i,i->")(displacement, forces)
    with contextlib.redirect_stdout(io.StringIO()):
        pymoto.minimize_oc(variables, compliance, network, maxit=steps, tolx=0.0, tolf=0.0, maxvol=problem.volume)
    return float(compliance.state)


def print_speed(size: int, steps: int, rounds: int) -> None:
    problem, radius = build_clamped_problem((size, size)), 1.5
    options = replace(PLAIN, filter_radius=radius, stages=(Stage(0, steps, 0.0),))
    *_, last = optimize(problem, options)
    peer = optimize_peer(problem, radius, steps)
    print(f"compliance after {steps} steps: {last.compliance:.4g}, pymoto {peer:.4g}")
    timing = time_paired(
        lambda: list(optimize(problem, options)), lambda: optimize_peer(problem, radius, steps), rounds
    )
    print(f"{steps} steps at {size}×{size}, ours against pymoto: {timing}")
    moduli = compute_moduli(np.random.default_rng(0).uniform(0.05, 1, size * size))
    band, sparse = (DirectSolver(problem.fixed, 0.3, is_banded=is_banded) for is_banded in (True, False))
    timing = time_paired(lambda: band.factorize(moduli), lambda: sparse.factorize(moduli), rounds)
    print(f"a factorization at {size}×{size}, by the band against SuperLU: {timing}")


if __name__ == "__main__":
    main()
