"""Are the hidden layers that `Model()` chooses by held-out events those that predict the test events better?

For each set the default call of the networks among which it chooses, each alone, of a larger one, and of `Model()`:
S of each held-out value, by which it chooses, and what is predicted of the test events: RMSE and mean negative
log-likelihood. Airfoil and bike sharing are those of `varying_noise.py`, the others those of `uci.py`.

With ``--seeds`` it prints instead how often `Model()` takes the larger network on the first split of each set, by other
seeds, and how often it would with a third and three times the gain that it asks for.

    python benchmarks/hidden_layers.py --splits 3
    python benchmarks/hidden_layers.py --seeds 5
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
from ffnn_xp.fitting.tuning import PriorSelectionTuning

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


def cuts_of(name: str, number: int) -> list[Split]:
    """So many splits of a set, of airfoil and bike sharing the same one; none where the data are not there."""
    if name not in PUBLISHED:
        return list(islice(splits(name, 20), number))
    found = measured(name)
    return [] if found is None else [found] * number


def table_of_seeds(cuts: dict[str, Split], number: int) -> None:
    """How often the larger network gains more than a share of S of held-out values, for three shares."""
    least = PriorSelectionTuning().larger
    shares = (least / 3, least, 3 * least)
    print(f"| set | gains | {' | '.join(f'taken with {share:.2g}' for share in shares)} |\n|{' --- |' * 5}")
    for name, (x, y, *_) in cuts.items():
        gains = []
        for seed in range(number):
            recipe = fx.Model(seed=seed).fit(x, y, progress=False).recipe
            assert recipe is not None
            (_, small), (_, large) = recipe.hidden_layers
            gains.append((small - large) / abs(small))
        taken = [f"{sum(gain > share for gain in gains)} of {number}" for share in shares]
        print(f"| {name} | {', '.join(f'{gain:+.2g}' for gain in sorted(gains))} | {' | '.join(taken)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=3, help="of each set; of airfoil and bike sharing, seeds")
    parser.add_argument("--seeds", type=int, default=0, help="of the table of seeds")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", fx.FitWarning)
    print(f"# Hidden layers\n\n{header()}\n")
    number = options.splits if not options.seeds else 1
    cuts = {name: cuts_of(name, number) for name in options.sets}
    if options.seeds:
        table_of_seeds({name: found[0] for name, found in cuts.items() if found}, options.seeds)
        return
    print(f"Means over {options.splits} splits.\n")
    print("| set | network | S held out | RMSE | negative log-likelihood | hidden layers | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in ((name, found) for name, found in cuts.items() if found):
        for text, layers in NETWORKS.items():
            means = np.mean([scores(layers, cut, seed) for seed, cut in enumerate(found)], axis=0)
            cells = [f"{n:{form}}" for n, form in zip(means, (".4g", ".4g", ".3f", ".2g", ".1f"), strict=True)]
            print(f"| {' | '.join([name, text, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
