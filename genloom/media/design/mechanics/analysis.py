"""Analysis of a design by finite elements: displacements, compliance, strain energy and von Mises stress.

The modulus of an element of density d is E (e + (1 - e) d^3), e = 1e-9: a design that is black and white is the
structure itself.
"""

from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.elements import (
    build_elasticity,
    build_element_stiffness,
    build_strain_matrix,
    gather_corners,
)
from genloom.media.design.mechanics.interpolation import MEMBER_MODULUS, compute_moduli
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import Solver, build_solver

STRESS_EXPONENT = 0.5  # of the density, so that the stress of empty elements is 0 (qp: Bruggi 2008)


@dataclass(frozen=True, eq=False)
class Analysis:
    """The state of a design under its loads; SI units where the problem has them."""

    displacement: np.ndarray  # [cases, *nodes, axes], m; 0 in empty places
    compliance_by_case: tuple[float, ...]  # work of the forces of each case, J
    energy: np.ndarray  # [cases, *shape], strain energy of each element, J: half the compliance in all
    von_mises: np.ndarray  # [cases, *shape], at the centre of each element, Pa

    @property
    def compliance(self) -> float:
        """The sum over the load cases."""
        return sum(self.compliance_by_case)

    @property
    def max_von_mises(self) -> float:
        """The greatest stress of all elements and load cases, Pa."""
        return float(self.von_mises.max())

    @property
    def max_displacement(self) -> float:
        """The greatest length of a displacement, m, also of empty places where a load is."""
        return float(np.linalg.norm(self.displacement, axis=-1).max())


def analyze(problem: Problem, density: np.ndarray, solver: Solver | None = None) -> Analysis:
    """Return the state of a design, density [*shape] from 0 to 1; `check_problem` says which problems have one."""
    solver = solver or build_solver(problem)
    moduli = compute_moduli(density.ravel())
    solver.factorize(moduli)
    displacement = solver.solve(problem.forces) / problem.stiffness
    is_member = moduli > MEMBER_MODULUS  # where the solver may leave out the others
    energy = compute_unit_energies(problem, displacement) * moduli * is_member * problem.stiffness / 2
    compliance = (displacement * problem.forces).reshape(problem.cases, -1).sum(1)
    stress = compute_solid_von_mises(problem, displacement) * is_member * density.ravel() ** STRESS_EXPONENT
    shape = (problem.cases, *problem.shape)
    return Analysis(displacement, tuple(compliance.tolist()), energy.reshape(shape), stress.reshape(shape))


def compute_unit_energies(problem: Problem, displacement: np.ndarray) -> np.ndarray:
    """Return u K u of each element for a stiffness factor and modulus of 1: [cases, elements]."""
    corners = gather_corners(displacement)
    return np.einsum("ced,ced->ce", corners @ build_element_stiffness(problem.axes, problem.poisson_ratio), corners)


def compute_solid_von_mises(problem: Problem, displacement: np.ndarray) -> np.ndarray:
    """Return the von Mises stress at the centre of each element if it were solid, Pa: [cases, elements]."""
    centre = build_strain_matrix(problem.axes, (0.0,) * problem.axes)
    elasticity = build_elasticity(problem.axes, problem.poisson_ratio)
    factor = problem.elastic_modulus / problem.element_size
    stress = gather_corners(displacement) @ (factor * elasticity @ centre).T
    return np.sqrt(np.maximum(np.einsum("ces,st,cet->ce", stress, build_von_mises_form(problem.axes), stress), 0))


def build_von_mises_form(axes: int) -> np.ndarray:
    """Return the quadratic form of the squared von Mises stress in the components of stress."""
    if axes == 2:
        return np.array([[1, -0.5, 0], [-0.5, 1, 0], [0, 0, 3.0]])
    form = np.diag([1.5] * 3 + [3.0] * 3)
    form[:3, :3] -= 0.5
    return form
