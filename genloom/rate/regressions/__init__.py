"""Regression tests of text models, independent of ratings: general text, refusals, insults, bias, copying."""
