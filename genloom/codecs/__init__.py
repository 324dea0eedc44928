"""Codecs, which turn values of a medium into tensors and back; one file per codec."""
