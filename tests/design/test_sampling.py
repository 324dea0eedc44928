"""Designs on another grid than that of the training data."""

import torch

from genloom.generate.conditions import fit_empty_field
from genloom.types import Condition


def test_the_empty_condition_of_guidance_has_the_size_of_the_samples() -> None:
    wide = Condition(field=torch.ones(2, 3, 8, 24))
    fitted = fit_empty_field(Condition(field=torch.zeros(2, 3, 16, 16)), wide)
    assert fitted.field is not None
    assert fitted.field.shape == (2, 3, 8, 24)
    assert not fitted.field.any()
    given = Condition(field=torch.ones(2, 3, 16, 16))
    assert fit_empty_field(given, wide) is given
    assert fit_empty_field(Condition(), wide) == Condition()
