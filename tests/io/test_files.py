"""States go to files and come back; foreign, cut and damaged files are refused in words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.io import NetworkState, load_state, read_header, save_state
from ffnn_xp.network.activations import OUTPUTS

from .conftest import X
from .parts import content, rewrite

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
def test_every_single_bit_is_guarded(net: Path) -> None:
    """All flips of one bit of a whole file, header, numbers and padding."""
    fx.Model.from_matrices([[[2.0, 1.0]]]).save(net, metadata={"wer": "Müller", "tiny": "1e-05"})
    whole = net.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        net.write_bytes(damaged)
        with pytest.raises(fx.FileFormatError):
            fx.load(net)


@pytest.mark.parametrize("kind", ["bits", "bytes", "lost", "repeated", "exchanged"])
def test_damaged_files_are_refused(model: fx.Model, net: Path, kind: str) -> None:
    """Bits, bytes, parts and lengths of the file changed: see `benchmarks/damaged_files.py` for many more."""
    model.save(net, metadata={"a": "b"}, input_names=["t [s]"])
    whole = net.read_bytes()
    for seed in range(40):
        rng, damaged = np.random.default_rng(seed), bytearray(whole)
        start, length = (int(v) for v in rng.integers(1, len(whole), 2))
        match kind:
            case "bits":
                for place in rng.integers(0, len(whole), 1 + seed % 4):
                    damaged[place] ^= 1 << int(rng.integers(8))
            case "bytes":
                damaged[start : start + length] = rng.bytes(length)
            case "lost":
                del damaged[start : start + length]
            case "repeated":
                damaged[start:start] = whole[:length]
            case _:
                damaged[start:], damaged[:start] = whole[:start], whole[start:]
        net.write_bytes(damaged)
        if damaged == whole:
            fx.load(net)
        else:
            with pytest.raises(fx.FileFormatError):
                fx.load(net)


def test_parts_of_two_files_do_not_belong_together(model: fx.Model, net: Path) -> None:
    """With a checksum that is right, so that it is the parts themselves that say so."""
    model.save(net)
    raw, tensors = content(net)
    other = fx.Model((1, 2, 1), backend="numpy", seed=1)
    other.fit(3 * X, np.cos(X), 0.1, prior=1.0)
    other.save(net)
    others = content(net)[1]
    for part in ("A_", "band.theta", "band.x_", "band.y_"):
        mixed = {name: others[name] if name.startswith(part) else a for name, a in tensors.items()}
        rewrite(net, raw, mixed)
        with pytest.raises(fx.FileFormatError, match="belongs to other parameters than the network's"):
            fx.load(net)
    rewrite(net, raw, {**tensors, "band.theta": tensors["band.theta"] * (1 + 1e-14)})  # another machine's rounding
    fx.load(net)


def test_far_from_zero_a_band_is_that_of_its_network_too(net: Path) -> None:
    """Rounding on another machine is that of the terms, which cancel in the biases."""
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    model.fit(X + 1e9, np.tanh(2 * X) - 1e9, 0.1, prior=1.0)
    model.save(net)
    raw, tensors = content(net)
    for factor in (1 - 1e-14, 1 + 1e-14):
        rewrite(net, raw, {**tensors, "band.theta": tensors["band.theta"] * factor})
        assert fx.load(net).layers == (1, 2, 1)


@pytest.mark.slow
def test_networks_of_an_ensemble_are_of_the_same_data(net: Path) -> None:
    model = fx.Model((1, 3, 1), seed=1, backend="numpy")
    model.fit(X, np.tanh(2 * X), prior="auto")
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "density.1.x_mean": tensors["density.1.x_mean"] + 1})
    with pytest.raises(fx.FileFormatError, match="belong to fits of different data"):
        fx.load(net)


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of Unix")
def test_pipes_and_devices_are_not_waited_for(net: Path, model: fx.Model) -> None:
    os.mkfifo(net)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(net.with_name("socket")))
    for path in (net, net.with_name("socket"), Path("/dev/zero")):
        for read in (fx.load, read_header):
            with pytest.raises(OSError, match="is a pipe or a device, not a network's file"):
                read(path)
    for path in (net, net.with_name("socket")):
        with pytest.raises(OSError, match="it is a pipe, a socket or a disk"):
            model.save(path)
    server.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_killed_while_saving(net: Path) -> None:
    """A program that saves two networks in turn is killed: one of them is there, whole, and nothing beside it."""
    program = (
        "import sys, ffnn_xp as fx\n"
        "models = [fx.Model((4, 100, 100, 2), seed=s, backend='numpy') for s in (1, 2)]\n"
        "models[0].save(sys.argv[1]); print(flush=True)\n"
        "while True:\n    for model in models: model.save(sys.argv[1])"
    )
    wanted = [fx.Model((4, 100, 100, 2), seed=s).parameters for s in (1, 2)]
    rng = np.random.default_rng(1)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program, str(net)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
        assert any(np.array_equal(fx.load(net).parameters, theta) for theta in wanted)
    fx.load(net).save(net)
    assert [path.name for path in net.parent.iterdir()] == [net.name]


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
    assert state.band is not None
    spectrum = state.band.spectrum
    spectrum = replace(spectrum, factor=np.asfortranarray(spectrum.factor))  # as LAPACK returns it
    state = replace(state, band=replace(state.band, spectrum=spectrum))
    save_state(state, net)
    same = load_state(net)
    assert state.band is not None
    assert same.band is not None
    for name in ("factor", "unidentified", "scale", "negative_directions"):
        np.testing.assert_array_equal(getattr(same.band.spectrum, name), getattr(state.band.spectrum, name))
    np.testing.assert_array_equal(same.band.theta, state.band.theta)


def test_directions_of_negative_curvature_come_back_as_unidentified(model: fx.Model, net: Path) -> None:
    state = model.to_state()
    assert state.band is not None
    spectrum, direction = state.band.spectrum, state.band.spectrum.factor[:, :1]
    spectrum = replace(spectrum, factor=spectrum.factor[:, 1:], negative_directions=direction)
    save_state(replace(state, band=replace(state.band, spectrum=spectrum)), net)
    same = load_state(net)
    assert same.band is not None
    np.testing.assert_array_equal(same.band.spectrum.unidentified, direction)


def test_states_that_could_not_be_read_again_are_not_made(model: fx.Model, line: NetworkState) -> None:
    with pytest.raises(ValueError, match="either an error band or a reason"):
        replace(line, no_band="")
    with pytest.raises(ValueError, match="either an error band or a reason"):
        replace(model.to_state(), no_band="none")
    with pytest.raises(ValueError, match="density of a single network needs its error band"):
        replace(line, predictive=model.to_state().predictive)
    with pytest.raises(TypeError, match="must map text to text"):
        replace(line, metadata={"run": 7})
    with pytest.raises(ValueError, match="must have 2 finite parameters"):
        replace(line, theta=np.array([2.0, np.nan]))
    with pytest.raises(ValueError, match="belongs to other parameters than the network's"):
        replace(model.to_state(), theta=model.parameters + 1e-3)


def test_any_text_comes_back_but_not_any_length(line: NetworkState, net: Path) -> None:
    odd = {"\N{GREEK SMALL LETTER CHI}\x1b\n": '\udcff", "checksum": "', '"checksum"': "}", "checksum": "mine"}
    save_state(replace(line, metadata=odd), net)
    assert load_state(net).metadata == odd
    before = net.read_bytes()
    with pytest.raises(ValueError, match="more than 10000000: keep metadata elsewhere"):
        save_state(replace(line, metadata={"a": "a" * 10_000_000}), net)
    assert net.read_bytes() == before


def test_version_in_the_file_is_the_library_s(line: NetworkState, net: Path) -> None:
    save_state(line, net)
    assert content(net)[0]["library_version"] == fx.__version__
