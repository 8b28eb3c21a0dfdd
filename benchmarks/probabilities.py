"""Probabilities of classes after prior="auto": the mean of the ensemble's against those of its best network.

Default calls of `FFNNClassifier` on sets of scikit-learn, judged on rows that were held out. Printed for each set:
the mean log-loss and accuracy of both, over all folds of two permutations.

    OPENBLAS_NUM_THREADS=1 python benchmarks/probabilities.py
"""

from __future__ import annotations

import copy
import warnings

import numpy as np
from header import header
from sklearn import datasets
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from ffnn_xp.estimators import FFNNClassifier

ROWS = 600  # of a set at most
SETS = {"breast cancer": (datasets.load_breast_cancer, 5), "wine": (datasets.load_wine, 5)}
SETS["digits"] = datasets.load_digits, 3


def best_network(fitted: FFNNClassifier) -> FFNNClassifier:
    """Return the classifier with the best network alone."""
    one = copy.copy(fitted)
    one.model_ = copy.copy(fitted.model_)
    one.model_.parameters = fitted.model_.parameters  # parameters that are set belong to no ensemble
    return one


def main() -> None:
    print(header())
    print(f"{'set':<14} {'folds':>5}  {'log-loss: ensemble':>18} {'best':>7}  {'accuracy: ensemble':>18} {'best':>7}")
    warnings.simplefilter("ignore")
    for name, (load, folds) in SETS.items():
        X, y = load(return_X_y=True)
        rows = np.random.default_rng(0).permutation(len(y))[:ROWS]
        X, y, found = X[rows], y[rows], []
        for seed in range(2):
            for fit, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(X, y):
                fitted = FFNNClassifier(random_state=seed).fit(X[fit], y[fit])
                both = [c.predict_proba(X[held]) for c in (fitted, best_network(fitted))]
                losses = [log_loss(y[held], p, labels=fitted.classes_) for p in both]
                found.append([*losses, *(np.mean(fitted.classes_[p.argmax(axis=1)] == y[held]) for p in both)])
        a, b, c, d = np.mean(found, axis=0)
        print(f"{name:<14} {len(found):>5}  {a:>18.4f} {b:>7.4f}  {c:>18.4f} {d:>7.4f}")


if __name__ == "__main__":
    main()
