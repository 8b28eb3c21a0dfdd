"""The command `fit`: a table in, a certified fit out, kept and drawn where that is requested."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.limits import Watch
from ffnn_xp._lib.optional import require
from ffnn_xp.cli import messages
from ffnn_xp.cli.arguments import BackendName, Device, Table
from ffnn_xp.cli.options import (
    Given,
    check_outputs,
    check_results,
    choose_columns,
    output_names,
    parse_layers,
    parse_prior,
    parse_restarts,
    place_of,
    rows_in_use,
)
from ffnn_xp.cli.root import split_root
from ffnn_xp.cli.tables import read_table
from ffnn_xp.losses import get_loss
from ffnn_xp.model import FitResult, Model

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")  # signals that end a program
TOGETHER = 1.0  # seconds: batch systems and `timeout` send a signal to the program and once more to its group


def fit(
    table: Table,
    target: Annotated[
        list[str], typer.Option("--target", "-t", metavar="COLUMN", help="Column to describe; repeat for several.")
    ],
    error: Annotated[
        list[str] | None,
        typer.Option(
            "--error",
            "-e",
            metavar="COLUMN|NUMBER",
            help="Standard deviation of the target: a column or a number; one for all targets, or repeat for each. "
            "Without it, one for each target is estimated from the residuals.",
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            "-i",
            metavar="COLUMNS",
            help="Columns to describe it by: a,b,c. By default all other numeric columns.",
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Statistic: least_squares, soft_l1, huber, student_t, normal; poisson with --output exp; "
            "binomial with --output logistic; multinomial with --output softmax.",
        ),
    ] = "least_squares",
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN|NUMBER", help="Factor on the term of each event.")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that is 1 or true for rows to use.")
    ] = None,
    exposure: Annotated[
        str | None,
        typer.Option(metavar="COLUMN|NUMBER", help="Factor on the expected counts: time, volume, bin width."),
    ] = None,
    trials: Annotated[str | None, typer.Option(metavar="COLUMN|NUMBER", help="N of the binomial k out of N.")] = None,
    x_err: Annotated[
        list[str] | None,
        typer.Option(
            "--x-err",
            metavar="COLUMN|NUMBER",
            help="Standard deviation of the inputs: one for all, or repeat for each; needs --error.",
        ),
    ] = None,
    y_cov: Annotated[str | None, typer.Option("--y-cov", hidden=True)] = None,
    covariance: Annotated[
        str,
        typer.Option(metavar="NAME", help="hessian, or sandwich: errors from the scatter of the data."),
    ] = "hessian",
    layers: Annotated[
        str, typer.Option(metavar="UNITS", help="Units of the hidden layers: 8,7. Empty for a linear function.")
    ] = "10",
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Nonlinearity of the hidden layers: tanh, relu, softplus, ..., or one for each: tanh,relu.",
        ),
    ] = "tanh",
    output: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Nonlinearity of the output: identity, or exp, softplus, relu for positive targets."
        ),
    ] = "identity",
    prior: Annotated[
        str,
        typer.Option(
            metavar="auto|none|WIDTH",
            help="Width of a Gaussian prior on the weights: smaller is smoother, 1.0 is moderate. auto chooses it "
            "by cross-validation, and makes an ensemble of networks with calibrated intervals.",
        ),
    ] = "auto",
    restarts: Annotated[str, typer.Option(metavar="auto|N", help="Number of random starts.")] = "auto",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the random starts: the same seed gives the same fit.")
    ] = 1,
    backend: BackendName = "auto",
    device: Device = None,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Type of all numbers: float64 or float32.")] = "float64",
    max_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Stop after this many seconds, with the best so far.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the network in this file: net.safetensors.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw data, fit and pulls into this file: .png, .pdf, .svg.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
) -> None:
    """Fit a network to a table.

    The output says whether MINUIT certified a minimum, chi-square, and where the errors come from.

    Example: ffnn-xp fit masses.csv --target BE --error sigma --layers 8,7 --save masses.safetensors

    Exit code 1 says that the fit is not valid; it is printed and saved all the same. Ctrl-C or SIGTERM stops the fit
    and saves the best so far; a file that is there already stays, and net.interrupted.safetensors is written beside it.
    A second one, more than a second later, ends the program at once.
    """
    say = _silent if quiet else messages.say
    check_results(save, plot)
    check_outputs({"the table": split_root(table)[0]}, {"--save": save, "--plot": plot})
    get_loss(loss)  # unknown names are refused before the table is read
    if y_cov is not None:
        raise ValueError("--y-cov: a covariance of events is no column of a table; use Model.fit(y_cov=...) in Python")
    options = {"restarts": parse_restarts(restarts), "prior": parse_prior(prior), "max_seconds": max_seconds}
    widths = parse_layers(layers)
    given = Given(tuple(target), tuple(error or ()), tuple(x_err or ()), weights, exposure, trials, mask)
    frame = rows_in_use(read_table(table), mask)
    columns, left_out = choose_columns(frame, target, given.roles(frame), inputs)
    data = given.measurements(frame, columns)
    names = activation.split(",") if "," in activation else activation
    model = Model(
        (len(columns), *widths, None),
        activation=[name.strip() for name in names] if isinstance(names, list) else names,
        output=output,
        backend=backend,
        device=device,
        dtype=dtype,
        seed=seed,
    )
    failures: list[Exception] = []
    with Watch(ENDING, TOGETHER) as watch:  # a signal ends the fit, and what it has found is printed and kept
        say(f"{len(frame)} events; {', '.join(target)} as a function of {', '.join(columns)}")
        if left_out:
            say(f"left out: {', '.join(f'{name} ({why})' for name, why in left_out.items())}")
        result = model.fit(
            **vars(data),
            loss=loss,
            covariance=covariance,  # type: ignore[arg-type]
            progress=False if quiet else None,
            **options,  # type: ignore[arg-type]
        )
        stopped, watch.held = watch.interrupted, True
        with messages.going_on(failures):
            if save is not None:
                names = output_names(target, loss, model.network.layout.widths[-1])
                place = place_of(save, stopped)
                model.save(place, fit=result, input_names=columns, target_names=names)
                say(f"network written to {place}")
            else:
                say("the network was not kept: add --save net.safetensors")
    with messages.going_on(failures):
        messages.show(str(result))
    with messages.going_on(failures):
        if plot is not None:
            place = place_of(plot, stopped)
            drawn = output_names(target, loss, int(result.problem.data.y.shape[0]))
            _draw(place, result, columns, drawn)
            say(f"plot written to {place}")
    if failures:
        raise typer.Exit(messages.BAD_INPUT)
    if watch.interrupted:
        raise typer.Exit(messages.exit_code(watch.name))
    if not result.valid:
        messages.say(
            "the fit is not valid. More --restarts, fewer units in --layers, --prior 1.0, or more --max-seconds help"
        )
        raise typer.Exit(messages.NOT_VALID)


def _silent(text: object) -> None:
    pass


def _draw(path: Path, result: FitResult, inputs: Sequence[str], targets: Sequence[str]) -> None:
    figure = require("matplotlib.figure", "plot", "--plot").Figure()
    result.plot(figure, input_names=inputs, target_names=targets)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
    write_file(path, content.getvalue())
