"""The lesson that this library comes from, gone through to its end.

A network of 8-7-9-6 units is a sandwich of three matrix products and relu; the lesson (machine learning at CoDaS-HEP
2024) writes it in three lines of NumPy, counts 195 parameters, and wants them fitted by MINUIT. Here they are:

1. the lesson's own matrices in a `Model`, which gives the lesson's numbers;
2. events drawn from that network with a known error, and a network with a random start that has to find it back, with
   relu and, smooth, with tanh;
3. the lesson's next step, a curve described by five sigmoids, against scikit-learn and against MINUIT on its own.

    python examples/lesson.py --out lesson.png
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

import ffnn_xp as fx

# The names and numbers are the lesson's.
# ruff: noqa: N816
# fmt: off
a_L1_L2 = np.array([
    [0.46584529, -0.79434105, 0.30786216, -0.50507019, -0.03540209, -0.24112821, 0.37416534, -0.62789647],
    [0.94458063, -0.51744175, 0.05822749, -1.14103328, -0.00535695, 0.27368702, 0.87765437, 0.86686374],
    [-0.70204751, 0.61642705, -0.9627886, -0.94822418, -1.14344213, 0.13787023, -1.19870441, -0.46053546],
    [1.2529536, -0.58980945, -0.44096821, -0.64246417, 0.8853539, 0.44068554, 2.43598694, 0.49854176],
    [-0.14821625, -0.32792798, 0.33920959, -0.52909471, -1.42775839, 0.39491426, -2.21739509, 0.68555603],
    [-1.44681708, -0.02982129, -1.46738637, 0.42057161, 0.35277722, -0.83142961, 2.32882804, 0.28770379],
    [1.28867981, 1.08870556, 0.06398847, 0.45545825, 1.19160146, 1.00476985, -0.00683849, -1.63661002],
])
b_L1_L2 = np.array([1.65692997, 1.80684596, 1.55930913, -1.32976663, -0.52313649, -1.22225077, 0.74303582])
a_L2_L3 = np.array([
    [1.25902691, 0.22452816, 1.36976825, -0.55811491, -0.07347018, -0.42207942, 1.80366964],
    [-0.35619402, 1.380792, 0.31643495, 0.18425909, -1.81170905, -0.49149711, 0.69482636],
    [-1.20662481, 1.19480494, 0.49589162, -0.03139444, -0.20982596, 2.15567115, 0.9640442],
    [-1.43552956, -1.23384725, 0.68979683, 0.79612705, -0.00638356, 0.60604382, 0.12707776],
    [0.60671319, 0.23179956, -0.93240115, -1.20597387, -0.32877326, -0.04077577, 0.97144842],
    [-0.58499887, 0.74685522, 0.60902534, -0.14289348, 0.07788466, 0.01558596, -0.15741029],
    [-0.8650252, -3.08058742, -0.3268319, -0.04060389, 0.56433748, 0.00652574, 1.31594315],
    [0.36718713, -2.10683057, -1.34246018, 0.59514127, 0.32629339, -0.58318272, 1.0320227],
    [-0.08635942, 0.12455025, -0.05816353, 0.61746697, 0.40378234, 0.53672263, 0.11352741],
])
b_L2_L3 = np.array([
    1.68540897, 1.68547654, 0.77596705, 0.92005175, -1.20306912, 1.4762198, -1.13197467, 0.78167442, 0.8892578,
])
a_L3_L4 = np.array([
    [0.82445788, -0.33004676, 0.4936911, -2.34170104, 0.29632171, -0.12980095, -0.0303506, 0.87969774, 0.20929147],
    [1.67042236, -1.23078755, 0.62490481, -1.81355255, -0.82479196, 0.8193912, -0.73813887, -0.34035706, 0.88898891],
    [-1.33837677, -0.41860029, -0.38780771, -0.39605987, -2.91797095, 1.47461802, 0.20972448, 1.29858008, -0.84848694],
    [-1.24581663, -0.66039626, -2.37231689, -0.34789816, 0.92078624, -1.76154556, 0.22515589, 1.41809949, -1.04924791],
    [-0.06665433, -1.11116286, 1.12650561, 0.19868453, 0.6702581, 0.26141375, -0.95402739, 0.63671454, -0.53160827],
    [0.12500722, -0.19787728, 0.74681658, 0.91134624, 0.69956507, 0.65845079, -0.47853924, -0.86570753, -0.87268969],
])
b_L3_L4 = np.array([0.32526209, 0.08141577, 0.74827707, -0.16723844, -0.78073532, 1.52148635])
# fmt: on

MATRICES = [(a_L1_L2, b_L1_L2), (a_L2_L3, b_L2_L3), (a_L3_L4, b_L3_L4)]
EVENTS, NOISE = 2000, 0.1
CURVE_EVENTS, CURVE_NOISE, SIGMOIDS = 1000, 0.03, 5


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, x)


def lesson_model(x: np.ndarray) -> np.ndarray:
    """The lesson's three lines."""
    layer2 = relu(a_L1_L2 @ x + b_L1_L2)
    layer3 = relu(a_L2_L3 @ layer2 + b_L2_L3)
    return relu(a_L3_L4 @ layer3 + b_L3_L4)


def same_numbers(rng: np.random.Generator) -> None:
    """The lesson's network as a Model."""
    model = fx.Model.from_matrices(MATRICES, activation="relu", output="relu")
    x = rng.normal(size=(EVENTS, 8))
    by_lesson, by_model = np.array([lesson_model(event) for event in x]), model(x)
    last_digit = np.max(np.abs(by_model - by_lesson)) / np.spacing(by_lesson.max())
    print(f"1. {model}")
    print(f"   the lesson's three lines: {np.array2string(lesson_model(x[0]), precision=8)}")
    print(f"   model(x):                 {np.array2string(model(x[0]), precision=8)}")
    print(f"   largest difference in {EVENTS} events: {last_digit:.0f} in the last binary digit")


def find_it_back(rng: np.random.Generator, activation: str, output: str) -> None:
    """Events from the lesson's network with errors, and a fit that starts from random parameters."""
    teacher = fx.Model.from_matrices(MATRICES, activation=activation, output=output)
    x = rng.normal(size=(EVENTS, 8))
    y = teacher(x) + NOISE * rng.normal(size=(EVENTS, 6))
    student = fx.Model((8, 7, 9, 6), activation=activation, output=output, seed=1)
    fit = student.fit(x, y, NOISE, prior=None, progress=False)
    fresh = rng.normal(size=(EVENTS, 8))
    off = np.sqrt(np.mean((student(fresh) - teacher(fresh)) ** 2))
    print(f"\n2. the lesson's matrices with {activation} and output {output}: {EVENTS} events, errors {NOISE}\n{fit}")
    print(f"  rms distance from the network that made the events, on fresh events: {off:.3f}")
    print(f"  (its outputs have rms {np.sqrt(np.mean(teacher(fresh) ** 2)):.2f})")


def curve(x: np.ndarray) -> np.ndarray:
    """A parabola with a fast wave in its middle."""
    return np.where(np.abs(x - 0.43) < 0.15, np.sin(22 * x), -1 + 3.5 * x - 2 * x**2)


def fit_curve(x: np.ndarray, y: np.ndarray, restarts: int) -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, SIGMOIDS, 1), activation="logistic", seed=1)
    return model, model.fit(x, y, CURVE_NOISE, prior=None, restarts=restarts, progress=False)


def sklearn_curve(x: np.ndarray, y: np.ndarray, starts: int = 15) -> float | None:
    """Chi-square of scikit-learn's best network, or None if it is not installed."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        return None
    best = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in range(starts):
            network = MLPRegressor(
                hidden_layer_sizes=(SIGMOIDS,),
                activation="logistic",
                solver="lbfgs",
                alpha=0.0,
                max_iter=5000,
                random_state=seed,
            )
            z = (x[:, None] - x.mean()) / x.std()
            best = min(best, np.sum(((network.fit(z, y).predict(z) - y) / CURVE_NOISE) ** 2))
    return best


def minuit_curve(x: np.ndarray, y: np.ndarray, starts: int = 5) -> float:
    """Chi-square of MINUIT's best minimum, with nothing but the function, from sigmoids spread over the curve."""
    from iminuit import Minuit

    def chi2(theta: np.ndarray) -> float:
        hidden = 1 / (1 + np.exp(-(theta[:5, None] * x + theta[5:10, None])))
        return float(np.sum(((theta[10:15] @ hidden + theta[15] - y) / CURVE_NOISE) ** 2))

    chi2.errordef = Minuit.LEAST_SQUARES
    best, rng = np.inf, np.random.default_rng(1)
    for _ in range(starts):
        width, center = rng.uniform(10, 40, SIGMOIDS), rng.uniform(0, 1, SIGMOIDS)
        start = np.concatenate([width, -width * center, rng.normal(size=SIGMOIDS), [0.0]])
        with np.errstate(over="ignore"):
            best = min(best, Minuit(chi2, start).migrad().fval)
    return float(best)


def five_sigmoids(rng: np.random.Generator, restarts: int, out: str) -> None:
    x = rng.uniform(0, 1, CURVE_EVENTS)
    y = curve(x) + CURVE_NOISE * rng.normal(size=CURVE_EVENTS)
    ndof = CURVE_EVENTS - (3 * SIGMOIDS + 1)
    print(
        f"\n3. {SIGMOIDS} sigmoids, {3 * SIGMOIDS + 1} parameters, on {CURVE_EVENTS} points with errors {CURVE_NOISE}"
    )
    model, fit = fit_curve(x, y, restarts)
    print(fit)
    print(f"\n   {'':40}{'chi2/ndof':>10}{'seconds':>10}")
    print(f"   {f'ffnn_xp, best of {len(fit.restarts)} starts':40}{fit.chi2 / ndof:10.2f}{fit.seconds:10.2f}")
    for name, method in (
        ("scikit-learn, best of 15 starts", sklearn_curve),
        ("MINUIT alone, numerically, best of 5", minuit_curve),
    ):
        began = time.perf_counter()
        chi2 = method(x, y)
        seconds = time.perf_counter() - began
        print(f"   {name:40}" + ("  not installed" if chi2 is None else f"{chi2 / ndof:10.2f}{seconds:10.2f}"))
    draw(out, x, y, model, fit)
    print(f"   picture: {out}")


def draw(path: str, x: np.ndarray, y: np.ndarray, model: fx.Model, fit: fx.FitResult) -> None:
    """Points, the curve that they were drawn from, the fit with its band, and the pulls below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    points = np.linspace(0, 1, 1001)
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, height_ratios=[3, 1], layout="constrained")
    top.plot(x, y, ".", color="0.7", ms=4, label=f"{len(x)} points, errors {CURVE_NOISE}")
    top.plot(points, curve(points), color="#1b7837", lw=1, ls="--", label="truth")
    top.plot(points, model(points), color="#5e4a9c", lw=1.8, label=f"{SIGMOIDS} sigmoids")
    top.set(ylabel="y", title=f"{SIGMOIDS} sigmoids: chi2/ndof {fit.chi2 / fit.ndof:.2f}, EDM {fit.edm:.1g}")
    top.legend(frameon=False, loc="lower right")
    bottom.plot(x, (y - model(x)) / CURVE_NOISE, ".", color="#5e4a9c", ms=3)
    if fit.valid:
        std = model.predict(points, return_std=True)[1] / CURVE_NOISE
        std = np.where(np.isfinite(std), std, np.nan)
        bottom.fill_between(points, -std, std, color="#e08214", alpha=0.6, lw=0, zorder=3, label="68 % band of the fit")
        bottom.legend(frameon=False, loc="lower right")
    bottom.axhline(0, color="0.5", lw=0.8)
    bottom.set(xlabel="x", ylabel="pull")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the events (default 1)")
    parser.add_argument("--restarts", type=int, default=60, help="random starts of the curve's fit (default 60)")
    parser.add_argument("--out", default="lesson.png", help="the picture (default lesson.png)")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    same_numbers(rng)
    find_it_back(rng, "relu", "relu")
    find_it_back(rng, "tanh", "identity")
    five_sigmoids(rng, options.restarts, options.out)


if __name__ == "__main__":
    main()
