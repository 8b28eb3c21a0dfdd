"""States go to files and come back; foreign, cut and damaged files are refused in words."""

from __future__ import annotations

import struct
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.io import NetworkState, load_state, save_state
from ffnn_xp.network.activations import OUTPUTS

from .parts import content

serialize = pytest.importorskip("safetensors.numpy").save


@pytest.mark.parametrize(
    "data",
    [b"", b"hello world, this is no network", b"\xff" * 100, b"PK\x03\x04" + bytes(100), b"\x80\x04\x95" + bytes(20)],
)
def test_other_files(net: Path, data: bytes) -> None:
    net.write_bytes(data)
    with pytest.raises(fx.FileFormatError, match="is not a safetensors file, or it is damaged"):
        fx.load(net)


def test_truncated_at_any_place(model: fx.Model, net: Path) -> None:
    model.save(net)
    whole = net.read_bytes()
    for length in (*range(1, len(whole), 97), len(whole) - 1):
        net.write_bytes(whole[:length])
        with pytest.raises(fx.FileFormatError, match="damaged or cut short"):
            fx.load(net)


@pytest.mark.slow
def test_damaged_bytes_never_give_another_error(model: fx.Model, net: Path, rng: np.random.Generator) -> None:
    """Flipped bits in the header or the tensors: a network or a FileFormatError, nothing else."""
    model.save(net, metadata={"a": "b"})
    whole = np.frombuffer(net.read_bytes(), dtype=np.uint8)
    size = 8 + struct.unpack("<Q", whole[:8].tobytes())[0]
    refused = 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(size)] ^= np.uint8(1 << rng.integers(8))
        net.write_bytes(damaged.tobytes())
        try:
            fx.load(net)
        except fx.FileFormatError:
            refused += 1
        except ValueError as error:  # a damaged name in own_activations is a name all the same
            if "own activation" not in str(error):
                raise
    assert refused > 100


def test_foreign_safetensors(net: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        net.write_bytes(serialize({"weight": np.zeros((2, 2))}, metadata=metadata))
        with pytest.raises(fx.FileFormatError, match=r"not a network of ffnn_xp.*Model\.from_matrices"):
            fx.load(net)


@pytest.fixture
def line() -> NetworkState:
    return NetworkState((1, 1), (OUTPUTS["identity"],), np.array([2.0, 1.0]), no_band="written by hand")


def test_a_state_comes_back(line: NetworkState, net: Path) -> None:
    full = replace(
        line, input_names=("t",), target_names=("U",), metadata={"a": "b"}, fit={"valid": True}, dtype="float32"
    )
    save_state(full, net)
    same = load_state(net)
    for field in fields(NetworkState):
        np.testing.assert_array_equal(getattr(same, field.name), getattr(full, field.name))


def test_a_band_comes_back(model: fx.Model, net: Path) -> None:
    state = model.to_state()
    save_state(state, net)
    same = load_state(net)
    assert state.band is not None
    assert same.band is not None
    for name in ("factor", "unidentified", "scale", "negative_directions"):
        np.testing.assert_array_equal(getattr(same.band.spectrum, name), getattr(state.band.spectrum, name))
    np.testing.assert_array_equal(same.band.theta, state.band.theta)


def test_states_that_could_not_be_read_again_are_not_made(model: fx.Model, line: NetworkState) -> None:
    with pytest.raises(ValueError, match="either an error band or a reason"):
        replace(line, no_band="")
    with pytest.raises(ValueError, match="either an error band or a reason"):
        replace(model.to_state(), no_band="none")
    with pytest.raises(ValueError, match="density of a single network needs its error band"):
        replace(line, predictive=model.to_state().predictive)
    with pytest.raises(TypeError, match="must map text to text"):
        replace(line, metadata={"run": 7})


def test_version_in_the_file_is_the_library_s(line: NetworkState, net: Path) -> None:
    save_state(line, net)
    assert content(net)[0]["library_version"] == fx.__version__
