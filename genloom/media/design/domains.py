"""Domains on another grid."""

from genloom.media.design.document import check_grid
from genloom.media.design.goals import Domain


def change_resolution(domain: Domain, resolution: int) -> Domain:
    """Return a domain with so many elements along its longest side; GenloomError if its sides do not fit the grid."""
    element_size = max(domain.size) / resolution
    elements = tuple(max(round(length / element_size), 1) for length in domain.size)
    check_grid(elements, domain.size, element_size)
    return Domain(elements, element_size, domain.thickness)
