"""Evaluation of text models: sample diversity, the n-gram baseline, and the benchmark battery."""
