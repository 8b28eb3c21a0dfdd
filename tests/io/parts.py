"""A network's file taken apart into header and tensors, and put together again, as a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors")
serialize = pytest.importorskip("safetensors.numpy").save


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safetensors.safe_open(path, "np") as file:
        return json.loads(file.metadata()["ffnn_xp"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path: Path, header: dict[str, Any] | str, tensors: dict[str, np.ndarray]) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(serialize(tensors, metadata={"ffnn_xp": text}))
