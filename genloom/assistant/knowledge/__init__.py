"""Answers from a person's own documents: passages, an index of words and meanings, and sentences with their sources."""
