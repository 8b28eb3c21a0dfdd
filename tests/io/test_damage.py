"""Files that are not to be believed: damaged, foreign, newer; each is refused in words, before anything is computed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.io import header as file_header

safe_open = pytest.importorskip("safetensors").safe_open
serialize = pytest.importorskip("safetensors.numpy").save

X = np.linspace(-2, 2, 40)


@pytest.fixture(scope="module")
def model() -> fx.Model:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=1.0)
    return model


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["ffnn_xp"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path: Path, header: dict[str, Any] | str, tensors: dict[str, np.ndarray]) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(serialize(tensors, metadata={"ffnn_xp": text}))


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


def test_newer_format(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {"format_version": 2, "library_version": "7.1", "something": "new"}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"format version 2, written by ffnn_xp 7\.1.*pip install --upgrade"):
        fx.load(net)
    rewrite(net, {**raw, "a_later_addition": 1}, tensors)
    assert fx.load(net).layers == (1, 2, 1)


def test_a_damaged_density_is_refused(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=3.0)
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "density.0.noise": -tensors["density.0.noise"]})
    with pytest.raises(fx.FileFormatError, match="negative"):
        fx.load(net)
    rewrite(net, {**raw, "n_members": 2}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"'density\.0\.theta' is missing"):
        fx.load(net)


WRONG = {
    "format_version": ["1", True, None, 0],
    "library_version": [1],
    "widths": ["1-2-1", [1], [1, 0, 1], [1, 2.0, 1], [1, True, 1], [1, 2, 2, 1], [2, 2, 1]],
    "activations": ["tanh", ["tanh", "tanh"], [1], ["no_such"]],
    "output": [None, "no_such"],
    "own_activations": [None, "tanh"],
    "dtype": ["float16", 64, ["float64"]],
    "y_was_column": ["no", 0],
    "no_band": [False],
    "n_members": [-1, "two", True, False, 1.5],
    "input_names": [["a", "b"], "a", [1]],
    "target_names": [[], {"a": 1}],
    "fit": ["valid", []],
    "metadata": [None, {"a": 1}],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values])
def test_wrong_header_fields(model: fx.Model, net: Path, field: str, value: Any) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, field: value}, tensors)
    with pytest.raises(fx.FileFormatError, match="damaged"):
        fx.load(net)


def test_every_header_field_is_needed(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    assert set(raw) == set(WRONG)
    for field in raw:
        rewrite(net, {k: v for k, v in raw.items() if k != field}, tensors)
        with pytest.raises(fx.FileFormatError, match=f"'{field}' is missing"):
            fx.load(net)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "[" * 100_000])
def test_header_that_is_no_json_object(model: fx.Model, net: Path, text: str) -> None:
    model.save(net)
    rewrite(net, text, content(net)[1])
    with pytest.raises(fx.FileFormatError, match="damaged"):
        fx.load(net)


def test_every_tensor_is_needed_and_checked(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    for name, a in tensors.items():
        rewrite(net, raw, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(fx.FileFormatError, match=f"tensor '{name}' is missing"):
            fx.load(net)
        wrong = [
            (a.astype(np.int64), "must be F64 or F32, got I64"),
            (a[None], "for the widths 1-2-1"),
            (a[:-1], "must be"),
        ]
        if a.size:
            bad = a.copy()
            bad.flat[-1] = np.nan
            wrong.append((bad, "values that are not finite"))
        for value, message in wrong:
            rewrite(net, raw, {**tensors, name: value})
            with pytest.raises(fx.FileFormatError, match=f"'{name}' .*{message}"):
                fx.load(net)


def test_matrices_that_do_not_chain(net: Path) -> None:
    fx.Model((2, 3, 1), seed=1).save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "A_L2_L3": np.zeros((1, 5))})
    with pytest.raises(fx.FileFormatError, match=r"'A_L2_L3' must be \(1, 4\) for the widths 2-3-1, got \(1, 5\)"):
        fx.load(net)


def test_huge_widths_are_refused_before_memory_is_taken(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, "widths": [1, 10**15, 1]}, tensors)
    with pytest.raises(fx.FileFormatError, match="must be"):
        fx.load(net)


def test_every_field_of_the_header_is_checked() -> None:
    names = [f.name for f in file_header.fields(file_header.Header)]
    assert sorted(names) == sorted(file_header._CHECKS)
