"""Materials with the properties that a plane part needs: elastic modulus, Poisson's ratio, yield strength, density.

Typical values at room temperature from the named sources. A printed part is weaker across its layers than along them,
and every batch differs: for a part that people rely on, the supplier's figures belong into the document.
"""

from dataclasses import dataclass

from genloom.errors import GenloomError, format_suggestion


@dataclass(frozen=True)
class Material:
    """An isotropic, linear elastic material, in SI units."""

    name: str
    elastic_modulus: float  # Pa
    poisson_ratio: float
    yield_strength: float  # Pa; of plastics the tensile strength where they do not yield before they break
    density: float  # kg/m³
    source: str = ""


def _build_material(name: str, gpa: float, poisson: float, mpa: float, density: float, source: str) -> Material:
    return Material(name, gpa * 1e9, poisson, mpa * 1e6, density, source)


_PRINTED = "Prusament technical data sheet, printed flat"
PRESETS: dict[str, Material] = {
    each.name: each
    for each in (
        _build_material("steel", 210, 0.3, 235, 7850, "EN 1993-1-1 (2005) 3.2.6; S235, up to 16 mm thick, EN 10025-2"),
        _build_material("steel S355", 210, 0.3, 355, 7850, "EN 1993-1-1 (2005) 3.2.6; S355, up to 16 mm, EN 10025-2"),
        _build_material(
            "stainless steel",
            193,
            0.29,
            205,
            8000,
            "AISI 304, annealed, ASTM A240; ASM Metals Handbook vol. 1",
        ),
        _build_material("aluminium", 68.9, 0.33, 276, 2700, "6061-T6; ASM Metals Handbook vol. 2"),
        _build_material("titanium", 113.8, 0.342, 880, 4430, "Ti-6Al-4V, annealed; ASM Metals Handbook vol. 2"),
        _build_material("PLA", 2.2, 0.35, 51, 1240, f"{_PRINTED} (PLA); Poisson's ratio: usual value"),
        _build_material("PETG", 1.5, 0.38, 47, 1270, f"{_PRINTED} (PETG); Poisson's ratio: usual value"),
        _build_material("ABS", 2.0, 0.37, 40, 1050, "moulded, middle of the usual ranges"),
        _build_material("PA12", 1.65, 0.39, 48, 930, "EOS PA 2200 data sheet, sintered; Poisson's ratio: usual value"),
    )
}
_ALIASES = {
    "aluminum": "aluminium", "6061-t6": "aluminium", "s235": "steel", "s355": "steel S355", "304": "stainless steel",
    "ti-6al-4v": "titanium", "nylon": "PA12",
}  # fmt: skip


def find_material(name: str) -> Material:
    """Return a preset by its name; GenloomError, with the nearest name, for another one."""
    wanted = " ".join(name.split()).lower()
    wanted = _ALIASES.get(wanted, wanted).lower()
    for known, material in PRESETS.items():
        if known.lower() == wanted:
            return material
    hint = format_suggestion(name, PRESETS)
    raise GenloomError("design.material_unknown", name=name[:60], hint=hint, known=", ".join(PRESETS))
