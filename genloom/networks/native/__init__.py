"""Decoding written in C++: transformers with weights of 8 or 4 bits, read at the speed of the memory."""
