"""The goals of a design: where a part is held and loaded, where material must or must not be, and its limits.

Lengths in metres from the lower left (front) corner, x to the right, y up, z to the back; forces in newtons.
"""

from dataclasses import dataclass, field, replace
from math import prod

from genloom.media.design.materials import PRESETS, Material

MAX_ELEMENTS = 250_000  # of a plane grid; a step of the optimization then takes seconds
MAX_VOXELS = 64_000
MAX_ENTRIES = 5000  # supports, loads or regions of one document
SIDES = ("left", "right", "bottom", "top", "front", "back")
Point = tuple[float, ...]


@dataclass(frozen=True)
class Domain:
    """The box that the part must lie in, and its elements, which are squares or cubes."""

    elements: tuple[int, ...]  # along x, y(, z)
    element_size: float  # m
    thickness: float = 0.0  # m, of a plane part

    def __post_init__(self) -> None:
        """Round the size of elements so that the written length of the first side gives it again."""
        object.__setattr__(self, "element_size", self.elements[0] * self.element_size / self.elements[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the arrays: rows from top to bottom come before columns."""
        return tuple(reversed(self.elements))

    @property
    def size(self) -> Point:
        return tuple(count * self.element_size for count in self.elements)

    @property
    def axes(self) -> int:
        return len(self.elements)

    @property
    def volume(self) -> float:
        """The volume of the whole box in m³."""
        return prod(self.size) * (self.thickness if self.axes == 2 else 1.0)


@dataclass(frozen=True)
class Place:
    """A side by its name, a point, a box from one corner to the other, or the rim of a circle."""

    side: str = ""
    start: Point = ()
    end: Point = ()
    radius: float = 0.0  # above 0: `start` is the centre

    def __str__(self) -> str:
        if self.side:
            return f"the {self.side} side" if self.side in SIDES else f"the {self.side}"
        text = ", ".join(f"{1e3 * x:.4g}" for x in self.start)
        if self.radius:
            return f"the circle around ({text}) mm"
        return (
            f"({text}) mm"
            if self.start == self.end
            else f"({text}) to ({', '.join(f'{1e3 * x:.4g}' for x in self.end)}) mm"
        )


@dataclass(frozen=True)
class Support:
    """A place that is held in some directions."""

    place: Place
    hold: str = "xy"  # letters of the directions that are held


@dataclass(frozen=True)
class Load:
    """A force on a place, spread evenly; loads of one case act together, cases one at a time."""

    place: Place
    force: Point  # N, y upward
    case: str = "1"


@dataclass(frozen=True)
class Region:
    """A box or a disc that must be solid or empty; in three dimensions a disc is a cylinder along z."""

    kind: str  # "solid" or "empty"
    start: Point
    end: Point = ()
    radius: float = 0.0  # above 0: `start` is the centre


@dataclass(frozen=True)
class Limits:
    """The material that may be used, and what the result must keep to; 0 and "" are no limit."""

    volume: float = 0.4  # fraction of the domain
    max_stress: float = 0.0  # Pa, von Mises
    max_displacement: float = 0.0  # m
    min_thickness: float = 0.0  # m
    symmetry: str = ""  # letters of the axes across which the part is mirrored
    overhang: float = 0.0  # degrees from the vertical that prints without support, upward


@dataclass(frozen=True)
class DesignGoals:
    """All that is asked of a part."""

    domain: Domain
    supports: tuple[Support, ...] = ()
    loads: tuple[Load, ...] = ()
    regions: tuple[Region, ...] = ()
    limits: Limits = Limits()
    material: Material = field(default=PRESETS["steel"])
    title: str = ""

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the load cases, in the order of the document."""
        return tuple(dict.fromkeys(load.case for load in self.loads))

    def with_limits(self, **changes: object) -> "DesignGoals":
        """Return the goals with other limits."""
        return replace(self, limits=replace(self.limits, **changes))
