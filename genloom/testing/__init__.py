"""Contracts of parts, for tests of built-in parts and of plugins; failures name what broke."""

from genloom.testing.codecs import check_codec
from genloom.testing.comparison import TOLERANCE, assert_close, draw_condition, draw_inputs, perturb_weights
from genloom.testing.conditions import check_conditioner, check_text_encoder
from genloom.testing.media import check_medium
from genloom.testing.networks import check_network
from genloom.testing.objectives import check_objective
from genloom.testing.preparations import check_preparation
from genloom.testing.ratings import check_check, check_classifier, check_features

__all__ = [
    "TOLERANCE",
    "assert_close",
    "check_check",
    "check_classifier",
    "check_codec",
    "check_conditioner",
    "check_features",
    "check_medium",
    "check_network",
    "check_objective",
    "check_preparation",
    "check_text_encoder",
    "draw_condition",
    "draw_inputs",
    "perturb_weights",
]
