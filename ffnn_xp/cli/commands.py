"""The commands of ``ffnn-xp``: backends, fit, predict, export."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.limits import Watch
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.text import visible
from ffnn_xp._lib.version import __version__
from ffnn_xp.backends import backend_status
from ffnn_xp.cli import messages
from ffnn_xp.cli.exports import check_options, export_network
from ffnn_xp.cli.options import (
    Given,
    check_outputs,
    check_results,
    choose_columns,
    input_columns,
    output_names,
    parse_layers,
    parse_prior,
    parse_restarts,
    place_of,
    predictions,
    rows_in_use,
)
from ffnn_xp.cli.root import split_root
from ffnn_xp.cli.tables import kind_of, numbers, read_table, write_table
from ffnn_xp.io import load_state
from ffnn_xp.losses import get_loss
from ffnn_xp.model import FitResult, Model

P = ParamSpec("P")
R = TypeVar("R")

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")  # signals that end a program
TOGETHER = 1.0  # seconds: batch systems and `timeout` send a signal to the program and once more to its group

app = typer.Typer(
    help="Fit small neural networks with MINUIT: tables in, certified fits with errors out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Table with named columns: .csv, .tsv, .parquet or events.root:TREE.")
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend", metavar="NAME", help="Array library: auto, numpy, cupy, torch, jax (see `ffnn-xp backends`)."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Where to compute, such as cuda:0 or cpu.")
]


def _guarded(command: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with messages.plain_errors():
            return command(*args, **kwargs)

    return guarded


def _version(wanted: bool) -> None:
    if wanted:
        messages.show(f"ffnn-xp {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command("backends")
@_guarded
def show_backends() -> None:
    """Show which array libraries and devices work here.

    For each library its version, its devices, and whether it computes correctly here, or why not.
    """
    messages.show(f"{'library':<18}{'version':<12}{'usable':<8}devices, or why not")
    for status in backend_status():
        usable, text = ("yes", ", ".join(status.devices)) if status.usable else ("no", status.reason)
        messages.show(f"{status.name:<18}{status.version or '-':<12}{usable:<8}{text}")


@app.command()
@_guarded
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


@app.command()
@_guarded
def predict(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Network that `ffnn-xp fit --save` or Model.save wrote.")],
    table: Table,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Where to write: .csv, .tsv or .parquet. By default CSV to stdout."
        ),
    ] = None,
    std: Annotated[
        bool | None,
        typer.Option("--std/--no-std", help="Write errors of the predictions too. By default if the network has them."),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval",
            metavar="CL",
            help="Write TARGET_low and TARGET_high too: a new measurement lies between with this probability, 0.9 say.",
        ),
    ] = None,
    backend: BackendName = "auto",
    device: Device = None,
) -> None:
    """Evaluate a fitted network on a table.

    The table needs the columns that the network was fitted to, in any order; others do not matter. The output has a
    column for each target, and TARGET_std for its standard deviation (of the fitted function, not of new measurements;
    inf where the fit does not determine it); with --interval also the ends of the interval of new measurements.
    """
    if out is not None:
        kind_of(out)
    check_outputs({"the network": net, "the table": split_root(table)[0]}, {"--out": out})
    state = load_state(net)
    model = Model.from_state(state, backend=backend, device=device)
    frame = read_table(table)
    x = numbers(frame, input_columns(frame, state))
    if state.fit is not None and not state.fit.get("valid"):
        messages.say("warning: this network comes from a fit that was not valid")
    result = predictions(model, state, x, std=not state.no_band if std is None else std, interval=interval)
    if out is None:
        messages.show(result.rename(columns=visible).to_csv(index=False))
    else:
        write_table(result, out)
        messages.say(f"{len(result)} predictions written to {out}")


@app.command("export")
@_guarded
def export_to_file(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Network that `ffnn-xp fit --save` or Model.save wrote.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; its ending tells the format.")],
    std: Annotated[
        bool, typer.Option("--std", help="With the standard deviations of the predictions; not for .tex.")
    ] = False,
    modes: Annotated[
        int | None,
        typer.Option(metavar="N", help="With the N leading modes of the error band at --points; .onnx only."),
    ] = None,
    points: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Table of the points at which --modes are the leading ones.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE", help="Type of all numbers, by default the network's: float64, float32; .onnx only."
        ),
    ] = None,
) -> None:
    """Write a fitted network in a format that other programs read.

    The ending of the file's name tells the format: .onnx for ONNX Runtime, ROOT's SOFIE and hls4ml; .hpp (.hh, .h) for
    a C++17 header without dependencies; .py for Python source that needs NumPy alone; .tex for the network's matrices
    with their errors in LaTeX.

    Example: ffnn-xp export masses.safetensors masses.onnx --std
    """
    check_options(out, {"std": std, "modes": modes, "points": points, "dtype": dtype})
    tables = {} if points is None else {"the table": points}
    check_outputs({"the network": net, **tables}, {"FILE": out})
    state = load_state(net)
    if state.fit is not None and not state.fit.get("valid"):
        messages.say("warning: this network comes from a fit that was not valid")
    frame = None if points is None else read_table(points)
    x = None if frame is None else numbers(frame, input_columns(frame, state))
    export_network(Model.from_state(state, backend="numpy"), out, {"std": std, "modes": modes, "x": x, "dtype": dtype})
    messages.say(f"network written to {out}")


def _silent(text: object) -> None:
    pass


def _draw(path: Path, result: FitResult, inputs: Sequence[str], targets: Sequence[str]) -> None:
    figure = require("matplotlib.figure", "plot", "--plot").Figure()
    result.plot(figure, input_names=inputs, target_names=targets)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
    write_file(path, content.getvalue())
