"""Evaluation of image models: prompt following by a detector, and contact sheets."""
