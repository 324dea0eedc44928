"""Decoding in C++ for transformers with weights of 8 or 4 bits, at the speed of memory."""
