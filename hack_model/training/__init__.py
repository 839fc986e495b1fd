"""Learns a model from registered meshes and measures it; see docs/training.md."""
