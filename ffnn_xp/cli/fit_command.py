"""The command `fit`: a table in, a certified fit out, kept and drawn where that is requested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.limits import Watch
from ffnn_xp.cli import arguments as arg
from ffnn_xp.cli import fit_options as opt
from ffnn_xp.cli import messages
from ffnn_xp.cli.card import KEY, card_of, card_text
from ffnn_xp.cli.categories import to_metadata
from ffnn_xp.cli.descriptions import describe, to_json
from ffnn_xp.cli.options import FitRequest, output_names
from ffnn_xp.cli.outputs import check_network, check_outputs, check_picture, place_of, write_picture
from ffnn_xp.data import split_root

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")  # signals that end a program
TOGETHER = 1.0  # seconds: batch systems and `timeout` send a signal to the program and once more to its group


def fit(
    context: typer.Context,
    table: arg.Table,
    target: opt.Target,
    error: opt.Error = None,
    inputs: opt.Inputs = None,
    categorical: opt.Categorical = None,
    weights: opt.Weights = None,
    mask: opt.Mask = None,
    exposure: opt.Exposure = None,
    trials: opt.Trials = None,
    x_err: opt.InputError = None,
    y_cov: opt.NoCovariance = None,
    layers: opt.Layers = "10",
    activation: opt.Nonlinearity = "tanh",
    output: opt.Output = "identity",
    loss: opt.Statistic = "least_squares",
    prior: opt.Prior = "auto",
    covariance: opt.Covariance = "hessian",
    restarts: opt.Restarts = "auto",
    seed: opt.Seed = 1,
    max_seconds: arg.MaxSeconds = None,
    checkpoint: arg.Checkpoint = None,
    backend: arg.BackendName = "auto",
    device: arg.Device = None,
    dtype: opt.Dtype = "float64",
    card: opt.Card = None,
    write_card: opt.WriteCard = None,
    save: opt.Save = None,
    plot: opt.Plot = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Fit a network to a table.

    The output says whether MINUIT certified a minimum, chi-square, and where the errors come from.

    Exit code 1 says that the fit is not valid; it is printed and saved all the same. Ctrl-C or SIGTERM stops the fit
    and saves the best so far; a file that is there already stays, and net.interrupted.safetensors is written beside it.
    A second one, more than a second later, ends the program at once.
    """
    if y_cov is not None:
        raise ValueError("--y-cov: a covariance of events is no column of a table; use Model.fit(y_cov=...) in Python")
    check_network("--save", save)
    check_picture("--plot", plot)
    outputs = {"--save": save, "--plot": plot, "--write-card": write_card, "--checkpoint": checkpoint}
    check_outputs({"the table": split_root(table)[0], "the run card": card}, outputs)
    options = card_of({p.name: context.params.get(p.name) for p in context.command.params if p.name})
    text_of_card = card_text(options) if save or write_card else ""
    request = FitRequest.of(options)
    data = request.read()
    model = request.model(len(data.names))
    results = Results(quiet)
    with Watch(ENDING, TOGETHER) as watch:  # a signal ends the fit, and what it has found is printed and kept
        results.say(f"{len(data.frame)} events; {', '.join(target)} as a function of {', '.join(data.names)}")
        if data.left_out:
            results.say(f"left out: {', '.join(f'{name} ({why})' for name, why in data.left_out.items())}")
        result = request.fit(model, data, progress=False if quiet else None, checkpoint=checkpoint)
        results.interrupted, watch.held = watch.interrupted, True
        kept: dict[str, Any] = {
            "fit": result,
            "input_names": data.names,
            "target_names": output_names(target, loss, model.network.layout.widths[-1]),
        }
        metadata = {KEY: text_of_card, **to_metadata(data.categories)}
        results.write("network", save, lambda place: model.save(place, **kept, metadata=metadata))
        if save is None:
            results.say("the network was not kept: add --save net.safetensors")
    with messages.going_on(results.failures):
        if not json:
            messages.show(str(result))
    results.write("run card", write_card, lambda place: write_file(place, text_of_card.encode()))
    names = {"input_names": data.names, "target_names": output_names(target, loss, result.problem.data.n_values)}
    results.write("plot", plot, lambda place: write_picture(place, lambda figure: result.plot(figure, **names)))
    with messages.going_on(results.failures):
        if json:
            state = model.to_state(**kept, metadata=to_metadata(data.categories))
            backend_used = {"name": model.backend.name, "device": str(model.backend.device)}
            of_run = {"card": options, "backend": backend_used, "seconds": result.seconds, "files": results.files}
            messages.show(to_json(describe(state) | of_run))
    if results.failures:
        raise typer.Exit(messages.BAD_INPUT)
    if watch.interrupted:
        raise typer.Exit(messages.exit_code(watch.name))
    if not result.valid:
        messages.say(
            "the fit is not valid. More --restarts, fewer units in --layers, --prior 1.0, or more --max-seconds help"
        )
        raise typer.Exit(messages.NOT_VALID)


@dataclass
class Results:
    """The files that a fit writes: if one of them fails, the others are written all the same.

    Attributes
    ----------
    quiet : bool
        Whether nothing is to be said about them.
    interrupted : bool
        Whether the fit was interrupted, so that files which exist are kept.
    failures : list of Exception
        What went wrong.
    files : dict of str to str
        What was written, and where.
    """

    quiet: bool
    interrupted: bool = False
    failures: list[Exception] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a line on stderr, unless only the result is wanted."""
        if not self.quiet:
            messages.say(text)

    def write(self, what: str, path: Path | None, write: Callable[[Path], object]) -> None:
        """Write a file, if there is to be one, and say where it is."""
        with messages.going_on(self.failures):
            if path is not None:
                place = place_of(path, self.interrupted)
                write(place)
                self.files[what] = str(place)
                self.say(f"{what} written to {place}")
