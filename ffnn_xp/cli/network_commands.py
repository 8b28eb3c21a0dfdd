"""The commands that take a fitted network from its file: `predict` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffnn_xp._lib.text import visible
from ffnn_xp.cli import messages
from ffnn_xp.cli.arguments import BackendName, Device, Table
from ffnn_xp.cli.exports import check_options, export_network
from ffnn_xp.cli.options import check_outputs, input_columns, predictions
from ffnn_xp.cli.root import split_root
from ffnn_xp.cli.tables import kind_of, numbers, read_table, write_table
from ffnn_xp.io import NetworkState, load_state
from ffnn_xp.model import Model

Network = Annotated[Path, typer.Argument(metavar="NET", help="Network that `ffnn-xp fit --save` or Model.save wrote.")]


def predict(
    net: Network,
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
    _warn_if_not_valid(state)
    result = predictions(model, state, x, std=not state.no_band if std is None else std, interval=interval)
    if out is None:
        messages.show(result.rename(columns=visible).to_csv(index=False))
    else:
        write_table(result, out)
        messages.say(f"{len(result)} predictions written to {out}")


def export_to_file(
    net: Network,
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
    tables = {} if points is None else {"the table": split_root(points)[0]}
    check_outputs({"the network": net, **tables}, {"FILE": out})
    state = load_state(net)
    _warn_if_not_valid(state)
    frame = None if points is None else read_table(points)
    x = None if frame is None else numbers(frame, input_columns(frame, state))
    export_network(Model.from_state(state, backend="numpy"), out, {"std": std, "modes": modes, "x": x, "dtype": dtype})
    messages.say(f"network written to {out}")


def _warn_if_not_valid(state: NetworkState) -> None:
    if state.fit is not None and not state.fit.get("valid"):
        messages.say("warning: this network comes from a fit that was not valid")
