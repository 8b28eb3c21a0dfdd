"""Saving and loading networks: safetensors behind a JSON header, nothing that a file could execute."""

from .header import Header
from .networks import load, read_header, save

__all__ = ["Header", "load", "read_header", "save"]
