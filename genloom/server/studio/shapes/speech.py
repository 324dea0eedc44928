"""Shapes of voices."""

from genloom.server.studio.shapes.shape import Shape


class Voice(Shape):
    name: str
    model: str
    note: str  # accent and kind, in English; "" for one that was trained here
    is_own: bool  # whether it was trained here
