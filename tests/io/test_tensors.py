"""Tensors that are missing, or not what the header announces, are refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
import ffnn_xp.io
from ffnn_xp.uncertainty import VaryingWidth

from .parts import content, rewrite

serialize = pytest.importorskip("safetensors.numpy").save


X = np.linspace(-2, 2, 40)


def test_a_damaged_density_is_refused(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=3.0)
    model.save(net)
    raw, tensors = content(net)
    for name, value in (
        ("density.0.noise", [-0.1]),
        ("density.0.noise", [1e200]),
        ("density.calibration", [-1.0, 1.0, 0.0]),
        ("density.calibration", [1.0, 0.0, 0.0]),
        ("density.calibration", [1.0, 1.0, 0.5]),
        ("density.calibration", [1.0, 1.0, -1e-300]),
    ):
        rewrite(net, raw, {**tensors, name: np.array(value)})
        with pytest.raises(fx.FileFormatError, match=r"damaged: the (errors of y|calibration) must be"):
            fx.load(net)
    state = model.to_state()
    assert state.predictive is not None
    two = replace(state.predictive, members=2 * state.predictive.members)
    fx.io.save_state(replace(state, predictive=replace(two, scatter=np.array([0.3]))), net)
    again = fx.load(net).to_state().predictive
    assert again is not None
    np.testing.assert_array_equal(again.scatter, [0.3])
    raw, tensors = content(net)
    for scatter in (-1.0, np.nan, np.inf):
        rewrite(net, raw, {**tensors, "density.scatter": np.array([scatter])})
        with pytest.raises(fx.FileFormatError, match="damaged: the scatter of networks must be finite and not neg"):
            fx.load(net)
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, "n_members": 2}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"'density\.scatter' is missing"):
        fx.load(net)


def test_a_damaged_width_is_refused(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=3.0)
    state = model.to_state()
    assert state.predictive is not None
    width = VaryingWidth(np.array([[1.0, 0, 0, 0, 2, 0]]), 1, 1, np.array([-1.0]), np.array([1.0]))
    fx.io.save_state(replace(state, predictive=replace(state.predictive, width=width)), net)
    np.testing.assert_allclose(
        fx.load(net).interval(0.3)[1] - fx.load(net).predict(0.3), 1.645 * np.exp(2 * np.tanh(0.3)), rtol=0.01
    )
    raw, tensors = content(net)
    networks, ends = "density.width.parameters", "density.width.range"
    for name, value in (
        (networks, np.full((1, 6), np.nan)),
        (networks, np.ones((1, 7))),
        (networks, np.ones((1, 1))),
        (networks, np.ones((1, 0))),
        (networks, np.ones((0, 6))),
        (ends, np.array([[1.0], [-1.0]])),
        (ends, np.array([[-800.0], [1.0]])),
        (ends, np.array([[-1.0], [800.0]])),
        (ends, np.array([[np.nan], [1.0]])),
    ):
        rewrite(net, raw, {**tensors, name: value})
        with pytest.raises(fx.FileFormatError, match="damaged: the width of the noise must be"):
            fx.load(net)
    rewrite(net, raw, {**tensors, ends: np.zeros((2, 1))})
    assert fx.load(net).interval(0.3)[1] - fx.load(net).predict(0.3) == pytest.approx(1.645, rel=0.01)
    rewrite(net, raw, {**tensors, "density.calibration": np.zeros(3)})
    with pytest.raises(fx.FileFormatError, match="damaged: the width of the noise must be calibrated"):
        fx.load(net)
    rewrite(net, raw, {k: v for k, v in tensors.items() if k != ends})
    with pytest.raises(fx.FileFormatError, match=f"tensor '{ends}' is missing"):
        fx.load(net)


def test_every_tensor_is_needed_and_checked(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    for name, a in tensors.items():
        rewrite(net, raw, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(fx.FileFormatError, match=f"tensor '{name}' is missing"):
            fx.load(net)
        wrong = [
            (a.astype(np.int64), "must be F64, got I64"),
            (a.astype(np.float32), "must be F64, got F32"),
            (a[None], "for the widths 1-2-1"),
            (a[:-1], "must be"),
        ]
        for value, message in wrong:
            rewrite(net, raw, {**tensors, name: value})
            with pytest.raises(fx.FileFormatError, match=f"'{name}' .*{message}"):
                fx.load(net)
        impossible = [np.nan, np.inf, *([-1.0] if name == "prior" else [])]
        for value in (*impossible, 1e308):
            if a.size and (value != 1e308 or not name.endswith(("prior", ".noise", ".calibration", ".scale"))):
                bad = a.copy()
                bad.flat[-1] = value
                rewrite(net, raw, {**tensors, name: bad})
                with pytest.raises(fx.FileFormatError, match=r"finite|other parameters|positive|none negative"):
                    fx.load(net)


def test_a_tensor_too_many_is_refused(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "A_L3_L4": np.zeros((1, 2))})
    with pytest.raises(fx.FileFormatError, match="'A_L3_L4' does not belong to its header"):
        fx.load(net)


@pytest.mark.parametrize("name", ["band.x_scale", "band.y_scale", "band.scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, 5e-324, np.inf])
def test_scales_are_positive_and_finite(model: fx.Model, net: Path, name: str, value: float) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, name: np.full_like(tensors[name], value)})
    with pytest.raises(fx.FileFormatError, match=f"'{name[5:]}' of the error band must be positive and finite"):
        fx.load(net)


def test_a_direction_for_each_parameter(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    for name, value, number in (("null", np.eye(7), 14), ("factor", tensors["band.factor"][:, :0], 0)):
        rewrite(net, raw, {**tensors, f"band.{name}": value})
        with pytest.raises(fx.FileFormatError, match=f"must have 7 directions, one for each parameter, got {number}"):
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
    rewrite(net, {**raw, "widths": [1, 10**9, 1]}, tensors)
    with pytest.raises(fx.FileFormatError, match="must be"):
        fx.load(net)


def test_the_number_of_networks_is_bounded_by_the_file(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, "n_members": 10**9}, tensors)
    with pytest.raises(fx.FileFormatError, match=f"'n_members' is 1000000000, but it has {len(tensors)} tensors"):
        fx.load(net)
