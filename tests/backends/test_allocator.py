"""Freed memory stays in the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other habits")

PROGRAM = """
import resource, sys
import numpy as np
import ffnn_xp as fx
from ffnn_xp.data.events import Events
from ffnn_xp.objective.objective import Objective
from ffnn_xp.backends import allocator as memory

if sys.argv[1] == "without":
    memory.keep_freed_memory.cache_clear()
    fx.backends.registry.keep_freed_memory = lambda: None
model = fx.Model((8, 7, 9, 6), backend="numpy", seed=1)
x, y = np.zeros((8, 2048)), np.zeros((6, 2048))
S = Objective(model.network, fx.losses.get_loss("least_squares"), Events(x, (y, y)), model.backend)
theta = model.backend.to_host(model.parameters)
S.value_and_gradient(theta)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    S.value_and_gradient(theta)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> int:
    """Pages that 100 gradients had to ask the system for."""
    env = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True, env=env)
    return int(done.stdout)


@pytest.mark.slow
def test_arrays_are_made_of_pages_that_are_there() -> None:
    assert faults("with") < 100
    if faults("without") < 1000:
        pytest.skip("something else in this environment has freed a large array before, to the same effect")


LARGE_ARRAYS = """
import resource
import numpy as np
from ffnn_xp.backends.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.slow
def test_also_where_the_environment_sets_the_allocators_numbers() -> None:
    env = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask does for its workers
    done = subprocess.run([sys.executable, "-c", LARGE_ARRAYS], check=True, capture_output=True, text=True, env=env)
    before, after = map(int, done.stdout.split())
    assert after < 100 < 10_000 < before
