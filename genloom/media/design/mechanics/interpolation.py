"""The modulus of an element by its density: modified SIMP (Sigmund 2007)."""

import numpy as np

PENALTY = 3.0
VOID_MODULUS = 1e-9  # of an empty element, for a solid one of 1: keeps the equations regular
MEMBER_MODULUS = 1e-6  # elements of less, a density of 0.01, count as empty: they have no stress and no energy


def compute_moduli(density: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """Return the moduli of elements, for 1 of a solid one."""
    return VOID_MODULUS + (1 - VOID_MODULUS) * density**penalty


def differentiate_moduli(density: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """Return the derivative of `compute_moduli` by the density; 0 for an empty element."""
    slope = (1 - VOID_MODULUS) * penalty * density ** (penalty - 1)
    return np.where(compute_moduli(density, penalty) > MEMBER_MODULUS, slope, 0.0)
