"""Saving and loading networks: safetensors behind a JSON header, nothing that a file could execute."""

from ffnn_xp.io.header import Header
from ffnn_xp.io.networks import load, read_header, save

__all__ = ["Header", "load", "read_header", "save"]
