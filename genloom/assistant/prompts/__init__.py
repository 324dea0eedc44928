"""Prompts as data: a template language without code, a library with versions, tests, and measured improvement."""
