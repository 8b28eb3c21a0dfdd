"""Measured masses of nuclei: a liquid-drop formula, and a network on what the formula leaves.

The masses are those of the atomic mass evaluation AME 2020 (M. Wang et al., Chin. Phys. C 45 (2021) 030003), which come
with the package mendeleev. Some 2,400 nuclides with Z, N >= 8 have a measured mass. A formula with five terms, after
Weizsaecker, describes their binding energies to 3 MeV; a network of the charge, the neutron number, their parities and
their distances to the magic numbers describes what is left to a fraction of that. Nothing is chosen by hand but its two
layers of 16 units: prior, ensemble and errors are those of the default call. Three questions are asked of it: nuclides
that were held out at random; those discovered from the year 2000 on, by a network that knows the earlier ones; and,
where the package masstable is installed, those whose mass was first measured after the evaluation of 2012 (its values
as they were then: G. Audi et al., Chin. Phys. C 36 (2012) 1287), as mass models are judged.

    python examples/nuclear_masses.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ffnn_xp as fx

MEV = 931.49410242  # one atomic mass unit, CODATA 2018
NEUTRON = 1.00866491595  # mass in atomic mass units, CODATA 2018
HYDROGEN_EXCESS, NEUTRON_EXCESS = 7.28897059, 8.07131714  # MeV, AME 2012
MAGIC_Z = (8, 20, 28, 50, 82, 114)
MAGIC_N = (8, 20, 28, 50, 82, 126, 184)
LATE = 2000  # year of discovery from which a nuclide belongs to the second question
LAYERS = (None, 16, 16, None)
LEVELS = (0.683, 0.954)
PICTURE = Path("build", "nuclear_masses.png")


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


def electrons(Z: np.ndarray) -> np.ndarray:
    """The binding energy of Z electrons in MeV (D. Lunney et al., Rev. Mod. Phys. 75 (2003) 1021, eq. A4)."""
    return 14.4381e-6 * Z**2.39 + 1.55468e-12 * Z**5.35


def measured_nuclides() -> Nuclides:
    """All nuclides with Z, N >= 8 and a measured mass.

    The table is of *atomic* masses, in atomic mass units. The binding energy of the nucleus is

        B = (Z m(1H) + N m(n) - m) c^2 - B_el(Z),

    where the electrons' masses cancel against those in the hydrogen atoms, and their binding energy is up to 0.8 MeV.

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
    binding = 1e-6 * MEV * (Z * hydrogen + N * 1e6 * NEUTRON - mass) - electrons(Z)
    return Nuclides(Z[keep], N[keep], binding[keep], 1e-6 * MEV * error[keep], table["discovery_year"].to_numpy()[keep])


def known_in(year: int, now: Nuclides) -> tuple[Nuclides, np.ndarray] | None:
    """The nuclides of an earlier evaluation with the values that it gave, and below them those that are new now.

    The second array ``(n,)`` says which are known. None is returned where the package masstable is not installed.
    """
    try:
        import masstable
    except ImportError:
        return None
    path = Path(masstable.__file__).parent / "data" / f"AME{year}.txt"
    Z, N, excess = np.loadtxt(path, skiprows=1, unpack=True)
    keep = (Z >= 8) & (N >= 8)
    Z, N, excess = Z[keep].astype(int), N[keep].astype(int), excess[keep]
    binding = Z * HYDROGEN_EXCESS + N * NEUTRON_EXCESS - excess - electrons(Z)
    new = ~np.isin(1000 * now.Z + now.N, 1000 * Z + N)
    unknown = np.full(len(Z), np.nan)
    both = Nuclides(
        np.append(Z, now.Z[new]),
        np.append(N, now.N[new]),
        np.append(binding, now.binding[new]),
        np.append(unknown, now.error[new]),
        np.append(unknown, now.year[new]),
    )
    return both, np.arange(len(both.Z)) < len(Z)


def formula_terms(nuclides: Nuclides) -> np.ndarray:
    """Volume, surface, Coulomb, asymmetry and pairing: B = sum of coefficients times these, ``(n, 5)``."""
    Z, N = nuclides.Z, nuclides.N
    A = Z + N
    pairing = 1.0 - (Z % 2 + N % 2)  # +1 even-even, 0 odd, -1 odd-odd
    return np.stack(
        [A, -(A ** (2 / 3)), -Z * (Z - 1) / A ** (1 / 3), -((N - Z) ** 2) / A, pairing / np.sqrt(A)], axis=1
    )


def formula_coefficients(nuclides: Nuclides, train: np.ndarray) -> np.ndarray:
    """Least squares on the nuclides to learn from, ``(5,)`` in MeV."""
    return np.linalg.lstsq(formula_terms(nuclides)[train], nuclides.binding[train], rcond=None)[0]


def formula_residual(nuclides: Nuclides, train: np.ndarray) -> np.ndarray:
    """What the formula leaves, in MeV, ``(n,)``."""
    return nuclides.binding - formula_terms(nuclides) @ formula_coefficients(nuclides, train)


@dataclass(frozen=True)
class Fitted:
    """Predictions for all nuclides, in MeV: correction to the formula, and CPU seconds of a fit.

    The standard deviation of a new measurement, and the ends of its intervals at `LEVELS`, are those that the fit
    claims, where it claims any.
    """

    name: str
    correction: np.ndarray
    seconds: float
    std: np.ndarray | None = None
    intervals: tuple[tuple[np.ndarray, np.ndarray], ...] = ()


def fit_network(x: np.ndarray, y: np.ndarray, train: np.ndarray, seed: int) -> Fitted:
    """The default call: a prior that held-out nuclides choose, an ensemble, errors of y from held-out residuals."""
    began = time.process_time()
    model = fx.Model(LAYERS, seed=seed)
    fit = model.fit(x[train], y[train], progress=False)
    if not fit.valid:
        print(fit.message)
    correction, std = model.predict(x, return_std=True, kind="prediction")
    intervals = tuple(model.interval(x, cl=cl) for cl in LEVELS)
    return Fitted("ffnn_xp, default call", correction, time.process_time() - began, std, intervals)


def fit_sklearn(x: np.ndarray, y: np.ndarray, train: np.ndarray, seed: int, max_iter: int) -> Fitted | None:
    """The same inputs and split in scikit-learn's network, or None if it is not installed."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        return None
    center, scale, unit = x[train].mean(axis=0), x[train].std(axis=0), y[train].std()
    began = time.process_time()
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
    return Fitted(f"scikit-learn, {network.n_iter_} iterations", correction, time.process_time() - began)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def study(
    nuclides: Nuclides, train: np.ndarray, title: str, *, seed: int, max_iter: int = 20_000
) -> tuple[np.ndarray, Fitted]:
    """Fit formula and networks to `train`, print how they do on the others, return the formula's residuals and ours."""
    test, coefficients = ~train, formula_coefficients(nuclides, train)
    residual = formula_residual(nuclides, train)
    print(f"\n{title}: {train.sum()} nuclides to learn from, {test.sum()} to predict")
    print(
        "formula: "
        + ", ".join(f"{c:.2f}" for c in coefficients)
        + " MeV (volume, surface, Coulomb, asymmetry, pairing)"
    )
    print(f"{'':32}{'rms in keV':^20}  {'predicted nuclides in the':^24}")
    names = "".join(f"{f'{100 * level:.3g} % interval':>17}" for level in LEVELS)
    print(f"{'':32}{'training':>10}{'predicted':>10}  {names}{'CPU s':>10}")
    print(f"{'formula':32}{1e3 * rms(residual[train]):10.0f}{1e3 * rms(residual[test]):10.0f}")
    ours = fit_network(nuclides.inputs, residual, train, seed)
    reference = fit_sklearn(nuclides.inputs, residual, train, seed, max_iter)
    if reference is None:
        print("scikit-learn is not installed: no comparison")
    for fitted in (ours, reference):
        if fitted is not None:
            print(row(residual, fitted, train))
    return residual, ours


def inside(residual: np.ndarray, fitted: Fitted, test: np.ndarray) -> list[float]:
    """The shares of the nuclides that lie in the intervals."""
    return [float(np.mean(((low <= residual) & (residual <= high))[test])) for low, high in fitted.intervals]


def row(residual: np.ndarray, fitted: Fitted, train: np.ndarray) -> str:
    left = 1e3 * (residual - fitted.correction)
    text = f"{fitted.name:32}{rms(left[train]):10.0f}{rms(left[~train]):10.0f}  "
    shares = inside(residual, fitted, ~train)
    cells = "".join(f"{share:17.0%}" for share in shares) if shares else f"{'none':>17}" * len(LEVELS)
    return f"{text}{cells}{fitted.seconds:10.1f}"


def draw(path: Path, nuclides: Nuclides, residual: np.ndarray, fitted: Fitted, test: np.ndarray) -> None:
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
    assert fitted.std is not None
    _draw_pulls(axes["pulls"], (after / fitted.std)[test], inside(residual, fitted, test))
    _draw_mass(axes["mass"], nuclides.Z + nuclides.N, residual, after, test)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_pulls(ax, p: np.ndarray, shares: list[float]) -> None:
    edges = np.linspace(-5, 5, 41)
    ax.hist(np.clip(p, -4.99, 4.99), edges, color="#5e4a9c", alpha=0.85, label=f"{len(p)} held-out nuclides")
    t = np.linspace(-5, 5, 401)
    normal = len(p) * (edges[1] - edges[0]) * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    ax.plot(t, normal, color="#e08214", lw=2, label="standard normal")
    ax.set(
        title="; ".join(
            f"{share:.0%} in their {100 * level:.3g} % intervals" for share, level in zip(shares, LEVELS, strict=True)
        ),
        xlabel="(measured − predicted) / standard deviation  (ends: beyond)",
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
    parser.add_argument("--out", type=Path, default=PICTURE, help=f"the picture (default {PICTURE})")
    options = parser.parse_args()
    began = time.perf_counter()
    nuclides = measured_nuclides()
    print(f"{len(nuclides.Z)} measured nuclides with Z, N >= 8, median error {1e3 * np.median(nuclides.error):.1f} keV")
    print(
        "rms is the root mean square of measured minus predicted binding energy. The network's errors are right where\n"
        "as many nuclides lie in the intervals as their names say. Questions beyond the known nuclides are hard."
    )
    train = ~held_out_fifth(nuclides, options.seed)
    residual, fitted = study(nuclides, train, "a random fifth held out", seed=options.seed)
    study(nuclides, nuclides.year < LATE, f"discovered from {LATE} on", seed=options.seed)
    earlier = known_in(2012, nuclides)
    if earlier is None:
        print("\nmasstable is not installed: no evaluation of 2012")
    else:
        study(*earlier, "first measured after the evaluation of 2012", seed=options.seed)
    draw(options.out, nuclides, residual, fitted, ~train)
    print(f"\npicture: {options.out}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
