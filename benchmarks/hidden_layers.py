"""Are the hidden layers that `Model()` chooses by held-out events those that predict the test events better?

For each set the default call of the networks among which it chooses, each alone, of a larger one, and of `Model()`:
S of each held-out value, by which it chooses, and what is predicted of the test events: RMSE and mean negative
log-likelihood. Airfoil and bike sharing are those of `varying_noise.py`, the others those of `uci.py`.

    python benchmarks/hidden_layers.py --splits 3
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import islice

import numpy as np
from header import header
from uci import splits
from varying_noise import PUBLISHED, Split, measured

import ffnn_xp as fx

NETWORKS = {"10": (None, 10, None), "16-16": (None, 16, 16, None), "50": (None, 50, None), "Model()": None}
SETS = ("yacht", "energy", "bostonHousing", "concrete", "diabetes", "airfoil", "bike sharing")


def scores(layers: tuple[int | None, ...] | None, split: Split, seed: int) -> tuple[float, ...]:
    """S of each held-out value, RMSE, mean negative log-likelihood, number of hidden layers, CPU seconds."""
    x, y, x_test, y_test = split
    began = time.process_time()
    model = fx.Model(layers, seed=seed)
    recipe = model.fit(x, y, progress=False).recipe
    seconds = time.process_time() - began
    assert recipe is not None
    rmse = np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2))
    nll = -np.mean(model.log_density(x_test, y_test))
    return float(np.min(recipe.path[:, 1])), float(rmse), float(nll), len(model.layers) - 2, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=3, help="of each set; of airfoil and bike sharing, seeds")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", fx.FitWarning)
    print(f"# Hidden layers\n\n{header()}\n\nMeans over {options.splits} splits.\n")
    print("| set | network | S held out | RMSE | negative log-likelihood | hidden layers | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        fixed = measured(name) if name in PUBLISHED else None
        if name in PUBLISHED and fixed is None:
            continue
        cuts = [fixed] * options.splits if fixed is not None else list(islice(splits(name, 20), options.splits))
        for text, layers in NETWORKS.items():
            found = np.mean([scores(layers, cut, seed) for seed, cut in enumerate(cuts)], axis=0)
            score, rmse, nll, number, seconds = found
            print(
                f"| {name} | {text} | {score:.4g} | {rmse:.4g} | {nll:.3f} | {number:.2g} | {seconds:.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
