"""The option --checkpoint: a command goes on from its file, and refuses the file of another one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

from .program import fit, pandas, run, start

pytest.importorskip("safetensors")

OF_FIT = ("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--checkpoint", "fit.checkpoint")


def test_a_fit_goes_on_and_another_one_is_refused(data: Any) -> None:
    fit(*OF_FIT, "--save", "first")
    kept = Path("fit.checkpoint").read_bytes()
    fit(*OF_FIT, "--save", "again")
    assert np.array_equal(fx.load("again").parameters, fx.load("first").parameters)
    message = fit(*OF_FIT, "--seed", "2", code=2).stderr
    assert "the checkpoint 'fit.checkpoint' is that of another call, with other `seed`" in message
    assert Path("fit.checkpoint").read_bytes() == kept
    assert "would replace it" in fit(*OF_FIT[:-1], "data.csv", code=2).stderr


@pytest.mark.slow
def test_a_card_may_name_the_file_and_none_that_is_written_does(data: Any) -> None:
    fit(*OF_FIT, "--write-card", "run.toml")
    card = Path("run.toml").read_text()
    assert "checkpoint" not in card
    Path("other.toml").write_text(card + 'checkpoint = "other.checkpoint"\n')
    run("fit", "--card", "other.toml")
    assert Path("other.checkpoint").exists()


@pytest.mark.slow
def test_a_coverage_goes_on_and_another_one_is_refused(data: Any) -> None:
    fit(*OF_FIT, "--save", "net")
    command = ("coverage", "net", "--number", "10", "--checkpoint", "toys.checkpoint", "--backend", "numpy")
    first = run(*command).stdout
    kept = Path("toys.checkpoint").read_bytes()
    assert run(*command).stdout == first
    assert "with other `number`" in run(*command, "--number", "11", code=2).stderr
    assert "with other kind of call" in run(*command[:4], "--checkpoint", "fit.checkpoint", code=2).stderr
    assert Path("toys.checkpoint").read_bytes() == kept


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_batch_system_that_ends_a_fit(data: Any) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 4))
    frame = pandas.DataFrame({f"x{i}": x[:, i] for i in range(4)})
    frame.assign(y=np.sin(3 * x).sum(axis=1)).to_csv("data.csv", index=False)
    with start(
        *("fit", "data.csv", "-t", "y", "-e", "1e-6", "--layers", "20,20", "--backend", "numpy", "--prior", "1.0"),
        *("--save", "net", "--checkpoint", "fit.checkpoint"),
    ) as process:
        assert process.stderr is not None
        assert "3000 events" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "network written to net" in err
    assert Path("fit.checkpoint").exists()
