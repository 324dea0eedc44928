"""Provenance of outputs: copied text spans and near copies of training items."""
