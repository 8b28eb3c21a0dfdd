"""The examples in the help run, and are all there is: each command has some, in 80 columns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .program import pandas, run

pytest.importorskip("safetensors")

from ffnn_xp.cli.commands import COMMANDS
from ffnn_xp.cli.examples import EXAMPLES


def commands(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", "").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_ends_with_examples(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run(command, "--help").stdout
    end = [f"    {line}" for line in EXAMPLES[command].split("\n") if line]
    assert text.rstrip().splitlines()[-len(end) :] == end
    assert 2 <= len(commands(EXAMPLES[command])) <= 4
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_all_examples_run() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(1)
    Z = rng.integers(8, 90, 120)
    masses = pandas.DataFrame({"Z": Z, "N": (Z * rng.uniform(1, 1.5, 120)).astype(int)})
    masses["BE"] = 8 * (masses.Z + masses.N) + rng.normal(0, 1, 120)
    masses.assign(sigma=1.0).to_csv("masses.csv", index=False)
    masses.assign(sigma=1.0)[:60].to_csv("new.csv", index=False)
    clicks = pandas.DataFrame(
        {"clock": rng.uniform(0, 24, 120), "day": rng.choice(["work", "rest"], 120), "hours": 2.0}
    )
    clicks.assign(n=rng.poisson(20, 120)).to_csv("clicks.csv", index=False)
    files = {"fit.json", "masses.png", "predicted.parquet", "masses.hpp", "masses.onnx", "masses.toml", "network.svg"}
    for text in EXAMPLES.values():
        for line in commands(text):
            # priors are not chosen: neither by the fits, nor again by all that follows them
            program = line.replace("--layers 8,7", "--layers 4 --prior 3")
            program = program.replace("--output exp", "--output exp --prior 3")
            program = program.replace("ffnn-xp", f"'{sys.executable}' -m ffnn_xp")
            done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stderr)
    assert files <= set(os.listdir())
    assert all(Path(name).stat().st_size for name in files)
