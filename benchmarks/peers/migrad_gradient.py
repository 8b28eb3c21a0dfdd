"""MIGRAD alone, with ffnn_xp's gradient and the diagonal of its curvature."""

from __future__ import annotations

from . import NOISE, Answer, Problem

NAME = "MIGRAD with ffnn_xp's gradient"


def fit(task: Problem, seed: int) -> Answer:
    model = task.student(seed)
    found = model.fit(task.x, task.y, NOISE, prior=None, progress=False, minimizer="migrad")
    return Answer(model(task.x), found.valid, found.edm, found.edm_newton)
