"""scikit-learn's own checks of an estimator, all of them, for the default call."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

from sklearn.utils.estimator_checks import estimator_checks_generator

from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor

pytestmark = pytest.mark.slow


CHECKS = [
    pytest.param(one, check, id=f"{type(one).__name__}-{getattr(check, 'func', check).__name__}")
    for estimator in (FFNNRegressor(backend="numpy"), FFNNClassifier(backend="numpy"))
    for one, check in estimator_checks_generator(estimator)
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


def test_checks_of_array_libraries() -> None:
    """SciPy reads the variable when it is imported, hence the process of its own; libraries that are absent skip."""
    pytest.importorskip("scipy", minversion="1.14", reason="SciPy dispatches arrays from 1.14 on")
    code = """
from sklearn.utils.estimator_checks import estimator_checks_generator
from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor
passed = 0
for estimator in (FFNNRegressor((2,)), FFNNClassifier((2,))):
    for one, check in estimator_checks_generator(estimator):
        if "array_api" in str(check):
            try:
                check(one)
                passed += 1
            except BaseException as error:
                if type(error).__name__ not in ("SkipTest", "Skipped"):
                    raise
print(passed)
"""
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4  # NumPy and array-api-strict, of both estimators
