"""Mechanics on a grid of elements: finite elements, topology optimization and checks; arrays only, no units."""
