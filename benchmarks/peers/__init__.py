"""Who fits the teachers' events in `teacher_student.py`: one file each, found by itself.

A peer's file has `NAME`, how it is called in the table; `fit(task, seed)`, which trains a student from the random start
of this seed and returns an `Answer`; and, if it is slow, `MOST`, how many fits it is given. What cannot be imported is
left out of the table.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from dataclasses import dataclass
from types import ModuleType

import numpy as np

import ffnn_xp as fx

NOISE = 0.1
SUCCESS = 1.05  # chi2/ndof


@dataclass(frozen=True)
class Problem:
    """Events of a teacher, inputs of mean 0 and width 1: x ``(n, d)``, y ``(n, k)`` with errors `NOISE`."""

    widths: tuple[int, ...]
    activation: str
    x: np.ndarray
    y: np.ndarray

    def student(self, seed: int) -> fx.Model:
        """With the random start of this seed."""
        return fx.Model(self.widths, activation=self.activation, backend="numpy", seed=seed)

    def ratio(self, predicted: np.ndarray) -> float:
        """chi2/ndof."""
        chi2 = np.sum(((predicted - self.y) / NOISE) ** 2)
        return float(chi2) / (self.y.size - self.student(0).n_parameters)


@dataclass(frozen=True)
class Answer:
    """What a fit predicts at the events, and its certificate if it has one."""

    predicted: np.ndarray
    valid: bool | None = None
    edm: float = np.nan
    newton: float = np.nan
    """EDM by a Newton step with the exact Hessian."""


@dataclass(frozen=True)
class Trial:
    """How one fit went."""

    ratio: float
    seconds: float
    valid: bool | None
    edm: float
    newton: float


def problem(widths: tuple[int, ...], n: int, activation: str, seed: int, scale: float = 1.5) -> Problem:
    """A teacher with Glorot's matrices times this."""
    rng = np.random.default_rng(seed)
    teacher = fx.Model(widths, activation=activation, backend="numpy", seed=seed)
    teacher.parameters = scale * teacher.parameters
    x = rng.normal(size=(n, widths[0]))
    return Problem(widths, activation, x, teacher(x) + NOISE * rng.normal(size=(n, widths[-1])))


def everyone() -> list[ModuleType]:
    """All peers that can be imported, ffnn_xp first."""
    found = []
    for info in pkgutil.iter_modules(__path__):
        try:
            found.append(importlib.import_module(f"{__name__}.{info.name}"))
        except ModuleNotFoundError as error:
            print(f"<!-- {info.name} left out: {error} -->")
    return sorted(found, key=lambda peer: (not peer.NAME.startswith("ffnn_xp"), getattr(peer, "MOST", 10**6) < 10**6))


def trial(peer: ModuleType, task: Problem, seed: int) -> Trial:
    """One fit, in CPU seconds of all threads."""
    began = time.process_time()
    answer = peer.fit(task, seed)
    return Trial(task.ratio(answer.predicted), time.process_time() - began, answer.valid, answer.edm, answer.newton)
