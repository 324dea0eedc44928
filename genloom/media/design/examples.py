"""Examples of goals: the standard problems of topology optimization, and parts of daily life, in millimetres."""

from collections.abc import Mapping

from genloom.errors import GenloomError, format_suggestion
from genloom.media.design.document import parse_document
from genloom.media.design.goals import DesignGoals

_EXAMPLES: Mapping[str, str] = {
    # Held at the left, loaded at the middle of the right side (Bendsøe and Sigmund 2003).
    "cantilever": """
title = "Cantilever"
domain = {size = ["120 mm", "60 mm"], resolution = 96, thickness = "5 mm"}
material = {preset = "aluminium"}
goal = {volume = 0.4, max_stress = "120 MPa"}
support = [{at = "left"}]
load = [{point = ["120 mm", "30 mm"], force = ["0 N", "-500 N"]}]
""",
    # A deck that must be solid, loaded along all of it, on two feet.
    "bridge": """
title = "Bridge"
domain = {size = ["200 mm", "80 mm"], resolution = 100, thickness = "10 mm"}
material = {preset = "steel"}
goal = {volume = 0.3}
support = [
  {from = ["0 mm", "0 mm"], to = ["10 mm", "0 mm"]},
  {from = ["190 mm", "0 mm"], to = ["200 mm", "0 mm"], hold = "y"},
]
load = [{from = ["0 mm", "40 mm"], to = ["200 mm", "40 mm"], force = ["0 N", "-2 kN"]}]
region = [
  {kind = "solid", from = ["0 mm", "36 mm"], to = ["200 mm", "40 mm"]},
  {kind = "empty", from = ["30 mm", "0 mm"], to = ["170 mm", "16 mm"]},
]
""",
    # Half of the beam of Messerschmitt-Bölkow-Blohm, mirrored at its left side (Sigmund 2001).
    "mbb": """
title = "MBB beam, right half"
domain = {size = ["180 mm", "60 mm"], resolution = 90, thickness = "5 mm"}
material = {preset = "steel"}
goal = {volume = 0.5}
support = [{at = "left", hold = "x"}, {at = "bottom right", hold = "y"}]
load = [{at = "top left", force = ["0 N", "-1 kN"]}]
""",
    # A coat hook: two screws in the wall, a coat that hangs at the tip, or is pulled off.
    "hook": """
title = "Coat hook"
domain = {size = ["60 mm", "80 mm"], resolution = 80, thickness = "6 mm"}
material = {preset = "PETG"}
goal = {volume = 0.22, max_stress = "20 MPa", min_thickness = "2 mm"}
support = [
  {center = ["8 mm", "70 mm"], radius = "2.2 mm"},
  {center = ["8 mm", "36 mm"], radius = "2.2 mm"},
]
load = [
  {from = ["44 mm", "20 mm"], to = ["54 mm", "20 mm"], force = ["0 N", "-60 N"], case = "hanging"},
  {from = ["44 mm", "20 mm"], to = ["54 mm", "20 mm"], force = ["20 N", "-30 N"], case = "pulled"},
]
region = [
  {kind = "empty", center = ["8 mm", "70 mm"], radius = "2.2 mm"},
  {kind = "empty", center = ["8 mm", "36 mm"], radius = "2.2 mm"},
  {kind = "empty", from = ["40 mm", "20 mm"], to = ["56 mm", "80 mm"]},
  {kind = "empty", from = ["18 mm", "46 mm"], to = ["40 mm", "80 mm"]},
  {kind = "solid", from = ["44 mm", "17 mm"], to = ["54 mm", "20 mm"]},
]
""",
    # A bracket below a board: fixed to the wall, the board on top, loaded all over or at its end.
    "shelf": """
title = "Shelf bracket"
domain = {size = ["150 mm", "120 mm"], resolution = 90, thickness = "8 mm"}
material = {preset = "PLA"}
goal = {volume = 0.3, max_stress = "25 MPa", min_thickness = "3 mm"}
support = [{at = "left"}]
load = [
  {at = "top", force = ["0 N", "-150 N"], case = "books"},
  {from = ["130 mm", "120 mm"], to = ["150 mm", "120 mm"], force = ["0 N", "-60 N"], case = "at the end"},
]
region = [{kind = "solid", from = ["0 mm", "115 mm"], to = ["150 mm", "120 mm"]}]
""",
}
NAMES = tuple(_EXAMPLES)


def build_example(name: str) -> DesignGoals:
    """Return the goals of an example; GenloomError, with the nearest name, for another one."""
    if name not in _EXAMPLES:
        hint = format_suggestion(name, NAMES)
        raise GenloomError("design.example_unknown", name=name[:60], hint=hint, known=", ".join(NAMES))
    goals, _ = parse_document(_EXAMPLES[name])
    assert goals is not None
    return goals
