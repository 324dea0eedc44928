"""Genloom makes generative models that a person owns and teaches."""

__version__ = "0.1.0"
