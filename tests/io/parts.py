"""A network's file taken apart into header and tensors, and put together again, with a checksum that is right."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors")
serialize = pytest.importorskip("safetensors.numpy").save


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header, without its checksum, and tensors."""
    with safetensors.safe_open(path, "np") as file:
        header = json.loads(file.metadata()["ffnn_xp"])
        del header["checksum"]
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    """As the description of the format says."""
    parts = [text.encode()]
    for name, a in sorted(tensors.items()):
        parts += [f"{name} {a.dtype} {a.shape}".encode(), a.astype(a.dtype.str.replace(">", "<")).tobytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def rewrite(path: Path, header: dict[str, Any] | str, tensors: dict[str, np.ndarray]) -> None:
    """Write a file as by another program that knows the format; a text is taken as it is."""
    if isinstance(header, dict):
        header = json.dumps({**header, "checksum": checksum(json.dumps(header), tensors)})
    path.write_bytes(serialize(tensors, metadata={"ffnn_xp": header}))
