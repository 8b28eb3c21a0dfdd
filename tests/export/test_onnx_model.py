"""The exported ONNX graphs give in ONNX Runtime what the models predict, by operators that other readers know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.export import to_onnx
from ffnn_xp.network import ACTIVATIONS

from .models import CASES, X, events, model_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SOFIE = {
    "Gemm", "Relu", "LeakyRelu", "Elu", "Tanh", "Sigmoid", "Softmax", "Softplus", "Erf",
    "Sqrt", "Neg", "Exp", "Log", "Sin", "Cos", "Abs", "Add", "Sub", "Mul",
    "Div", "Pow", "Max", "Min", "Sum", "Equal", "Less", "LessOrEqual",
    "Greater", "GreaterOrEqual", "ReduceSum", "ReduceSumSquare", "Concat", "Reshape",
    "Unsqueeze", "MatMul", "Where"}  # fmt: skip
"""Operators that ROOT's SOFIE registers, of those that occur here (RModelParser_ONNX.cxx)."""

HLS4ML = {"Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Softmax", "Softplus"}
"""Activations that hls4ml reads, of those that occur here (converters/onnx/core.py); Gemm by qonnx's GemmToMatMul."""


def run(proto: Any, x: Any) -> dict[str, Any]:
    """Run a graph with ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    kind = np.float32 if "(float)" in session.get_inputs()[0].type else np.float64
    return dict(zip(names, session.run(names, {"x": np.asarray(x, dtype=kind)}), strict=True))


def operators(proto: Any) -> list[str]:
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize("case", CASES)
def test_it_predicts_what_the_model_predicts(case: str) -> None:
    model = model_of(**CASES[case])
    x = events(model)
    with np.errstate(all="ignore"):
        expected = model.predict(x, return_std=True)
    found = run(to_onnx(model, std=True), x)
    assert list(found) == ["mean", "std"]
    for ours, theirs in zip(expected, found.values(), strict=True):
        assert theirs.dtype == np.float64
        assert theirs.shape == (len(x), model.layers[-1])
        ours = ours.reshape(theirs.shape)
        np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12 * min(1.0, np.median(np.abs(ours))))


@pytest.mark.parametrize("case", CASES)
def test_the_mean_takes_a_product_and_an_activation_for_each_layer(case: str) -> None:
    model = model_of(**CASES[case])
    found = to_onnx(model, dtype="float32")
    x = X[:, : model.layers[0]]
    ours = model.predict(x).reshape(len(x), -1)
    np.testing.assert_allclose(run(found, x)["mean"], ours, rtol=1e-3, atol=1e-4)
    names = operators(found)
    assert names.count("Gemm") == (len(model.layers) - 1) * len(getattr(model.uncertainty[2], "members", (0,)))
    assert set(names) <= SOFIE
    by_one_operator = {"relu", "leaky_relu", "elu", "tanh", "logistic", "softplus", "identity", "softmax"}
    if {f.name for f in model.activations} <= by_one_operator and "ensemble" not in case:
        assert set(names) <= {"Gemm", *HLS4ML}


@pytest.mark.parametrize("case", CASES)
def test_sofie_knows_all_operators_of_the_band(case: str) -> None:
    assert set(operators(to_onnx(model_of(**CASES[case]), std=True, dtype="float32"))) <= SOFIE


@pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=lambda f: f.name)
def test_activations_keep_all_digits(f: fx.Activation) -> None:
    """Near zero and far from it, where formulas that look the same lose digits."""
    z = np.concatenate([sign * np.logspace(-12, 2, 400) for sign in (-1, 1)])
    model = fx.Model.from_matrices([np.array([[1.0, 0.0]])], output=f)
    atol = 1e-14 if f.name in ("gelu", "logistic") else 1e-300  # the quadrature of erf, and ONNX Runtime's own Sigmoid
    np.testing.assert_allclose(run(to_onnx(model), z[:, None])["mean"][:, 0], f.f(np, z), rtol=1e-13, atol=atol)


def test_the_lesson_of_one_layer() -> None:
    proto = to_onnx(fx.Model((2, 5, 1), seed=1))
    assert operators(proto) == ["Gemm", "Tanh", "Gemm"]
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 13)]


def test_no_events_and_one_event() -> None:
    model = model_of()
    for x in (X[:0], X[:1]):
        found = run(to_onnx(model, std=True), x)
        np.testing.assert_allclose(found["std"], model.predict(x, return_std=True)[1], rtol=1e-12)


@pytest.mark.parametrize("networks", [1, 3])
def test_modes_are_independent_shifts_that_add_up_to_the_band(networks: int) -> None:
    """All of them give std; the first m give the best approximation of the covariance of the points."""
    model = model_of(widths=(2, 3, 2), networks=networks)
    points = X[:6]
    found = run(to_onnx(model, std=True, modes=12, x=points), points)
    shifts = found["shifts"].reshape(12, 12)
    np.testing.assert_allclose(np.sum(found["shifts"] ** 2, axis=-1), found["std"] ** 2, rtol=1e-10)
    sizes = np.sum(shifts**2, axis=0)
    assert np.all(np.diff(sizes) <= 0)
    if networks == 1:
        covariance = model.predict(points, return_cov=True)[1]
        np.testing.assert_allclose(shifts @ shifts.T, covariance, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(sizes, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-6)
    few = run(to_onnx(model, modes=2, x=points), X)
    assert list(few) == ["mean", "shifts"]
    assert few["shifts"].shape == (len(X), 2, 2)
    np.testing.assert_allclose(few["shifts"][:6], found["shifts"][..., :2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.abs(few["shifts"][:6]).max(axis=(0, 1)), few["shifts"][:6].max(axis=(0, 1)))


def test_a_mode_is_the_change_of_the_prediction_by_one_standard_deviation_of_the_parameters() -> None:
    """To first order: the network at theta + F u is the mean and the shift, here with the parameters' errors / 1000."""
    model = model_of(widths=(2, 3, 1))
    band = model.uncertainty[0]
    root = band.scaling.linear(band.spectrum.factor.T)
    shifts = run(to_onnx(model, modes=13, x=X), X)["shifts"][:, 0]
    A = np.linalg.svd(
        np.stack(
            [(model(X, band.parameters + 1e-4 * v) - model(X, band.parameters - 1e-4 * v)) / 2e-4 for v in root], 1
        ),
        full_matrices=False,
    )
    np.testing.assert_allclose(np.abs(shifts), np.abs(A[0] * A[1]), rtol=1e-4, atol=1e-6)


def test_points_of_modes_are_read_by_the_names_of_their_columns() -> None:
    pandas = pytest.importorskip("pandas")
    model = model_of(input_names=("t", "p"))
    table = pandas.DataFrame(X[:, ::-1], columns=["p", "t"])
    assert to_onnx(model, modes=2, x=table) == to_onnx(model, modes=2, x=X)


def test_modes_leave_out_what_the_fit_does_not_determine() -> None:
    """The first unit of a ReLU network is not determined: points at which it is on do not count."""
    model = model_of("relu", widths=(1, 2, 1), unidentified=(0, 1))
    x = np.linspace(-20, 20, 41)[:, None]
    std = model.predict(x, return_std=True)[1]
    open_ = np.isinf(std)
    assert 0 < open_.sum() < len(x)
    assert to_onnx(model, modes=2, x=x) == to_onnx(model, modes=2, x=x[~open_])


def test_names_are_kept(tmp_path: Path) -> None:
    model = model_of(input_names=("t [s]", "θ"), target_names=("U", "V"), name="signal")
    to_onnx(model, tmp_path / "net.onnx", std=True)
    proto = onnx.load(tmp_path / "net.onnx")
    metadata = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert metadata == {"inputs": ["t [s]", "θ"], "outputs": ["U", "V"]}
    assert proto.doc_string.startswith("signal: 2-3-2-2 network (tanh; output identity)")
    assert (proto.producer_name, proto.producer_version) == ("ffnn_xp", fx.__version__)
    shapes = [[d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in proto.graph.output]
    assert shapes == [["events", 2], ["events", 2]]


def test_float32_is_the_default_of_a_model_in_float32() -> None:
    model = fx.Model((2, 3, 1), seed=1, backend="numpy", dtype="float32")
    assert run(to_onnx(model), X)["mean"].dtype == np.float32
    assert run(to_onnx(model, dtype="float64"), X)["mean"].dtype == np.float64
    with pytest.raises(ValueError, match=r"unknown dtype 'double': .*nown are 'float64', 'float32'"):
        to_onnx(model, dtype="double")  # type: ignore[arg-type]


def test_without_onnx_a_sentence_names_the_extra(hide: Callable[[str], None]) -> None:
    hide("onnx")
    with pytest.raises(ImportError, match=r"writing ONNX needs onnx: pip install 'ffnn_xp\[onnx\]'"):
        to_onnx(fx.Model((1, 1), seed=1))
