"""The greatest von Mises stress of a design, smoothly, and its gradient, for optimization within a limit.

The p-norm of the relaxed stresses over all elements and load cases, scaled to their true maximum (Le et al. 2010).
"""

import numpy as np

from genloom.media.design.mechanics.analysis import STRESS_EXPONENT, build_von_mises_form
from genloom.media.design.mechanics.elements import (
    build_elasticity,
    build_element_stiffness,
    build_strain_matrix,
    gather_corners,
    scatter_corners,
)
from genloom.media.design.mechanics.interpolation import MEMBER_MODULUS, compute_moduli, differentiate_moduli
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import Solver

EXPONENT = 8.0  # of the norm


def measure_stress(problem: Problem, solver: Solver, density: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
    """Return the greatest von Mises stress of flat densities, Pa, and the gradient of its p-norm by them.

    The solver has the factors of these densities. The gradient is that of the norm, scaled so that the norm is the
    maximum.
    """
    displacement = solver.solve(problem.forces) / problem.stiffness
    corners = gather_corners(displacement)  # [cases, elements, D]
    factor = problem.elastic_modulus / problem.element_size
    centre = build_strain_matrix(problem.axes, (0.0,) * problem.axes)
    stress_matrix = factor * build_elasticity(problem.axes, problem.poisson_ratio) @ centre
    form = stress_matrix.T @ build_von_mises_form(problem.axes) @ stress_matrix
    weighted = corners @ form
    solid = np.sqrt(np.maximum(np.einsum("ced,ced->ce", weighted, corners), 1e-300))
    is_member = compute_moduli(density, penalty) > MEMBER_MODULUS
    weights = np.where(is_member, density**STRESS_EXPONENT, 0.0)
    relaxed = solid * weights
    greatest = float(relaxed.max())
    ratio = relaxed / greatest
    norm = float((ratio**EXPONENT).sum()) ** (1 / EXPONENT)
    by_stress = (ratio / norm) ** (EXPONENT - 1) / norm  # the norm is scaled to the maximum
    direct = (by_stress * solid).sum(0) * STRESS_EXPONENT * weights / np.where(is_member, density, 1)
    by_corners = (by_stress * weights / solid)[..., None] * weighted
    adjoint = solver.solve(scatter_corners(by_corners, problem.shape)) / problem.stiffness
    stiffness = build_element_stiffness(problem.axes, problem.poisson_ratio) * problem.stiffness
    work = np.einsum("ced,ced->e", gather_corners(adjoint) @ stiffness, corners)
    return greatest, direct - differentiate_moduli(density, penalty) * work
