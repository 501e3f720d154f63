"""Frames, columns of vectors and tensors as arrays, without importing whose they are."""
