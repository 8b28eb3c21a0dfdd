"""The commands that take a fitted network from its file: `predict`, `export` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffnn_xp._lib.text import visible
from ffnn_xp.cli import messages
from ffnn_xp.cli.arguments import BackendName, Device, Json, Network, Table
from ffnn_xp.cli.card import card_of_network, card_text
from ffnn_xp.cli.descriptions import describe, network_text, to_json
from ffnn_xp.cli.exports import FORMATS, check_options, export_network, format_of
from ffnn_xp.cli.outputs import STDOUT, check_outputs
from ffnn_xp.cli.saved import inputs_of, predictions, warn_if_not_valid
from ffnn_xp.cli.tables import kind_of, read_table, write_table
from ffnn_xp.data import split_root
from ffnn_xp.io import load_state
from ffnn_xp.model import Model


def predict(
    net: Network,
    table: Table,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to write: .csv, .tsv, .parquet. By default, or as -, CSV to stdout.",
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
    out = None if str(out) == STDOUT else out
    if out is not None:
        kind_of(out)
    check_outputs({"the network": net, "the table": split_root(table)[0]}, {"--out": out})
    state = load_state(net)
    model = Model.from_state(state, backend=backend, device=device)
    x = inputs_of(read_table(table), state)
    warn_if_not_valid(state)
    result = predictions(model, state, x, std=not state.no_band if std is None else std, interval=interval)
    if out is None:
        messages.show(result.rename(columns=visible).to_csv(index=False))
    else:
        write_table(result, out)
        messages.say(f"{len(result)} predictions written to {out}")


def export_to_file(
    net: Network,
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write; its ending tells the format. - is stdout.")
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="ENDING",
            help=f"Format of a FILE whose name does not tell it, or of stdout: {', '.join(e[1:] for e in FORMATS)}.",
        ),
    ] = None,
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
    """
    kind = format_of(out, form)
    check_options(kind, {"std": std, "modes": modes, "points": points, "dtype": dtype})
    to_stdout = str(out) == STDOUT
    tables = None if points is None else split_root(points)[0]
    check_outputs({"the network": net, "the table": tables}, {} if to_stdout else {"FILE": out})
    state = load_state(net)
    warn_if_not_valid(state)
    x = None if points is None else inputs_of(read_table(points), state)
    given = {"std": std, "modes": modes, "x": x, "dtype": dtype}
    content = export_network(Model.from_state(state, backend="numpy"), kind, None if to_stdout else out, given)
    if to_stdout:
        messages.write(content)
    else:
        messages.say(f"network written to {out}")


def show(
    net: Network,
    card: Annotated[
        bool,
        typer.Option("--card", help="Print the run card instead, with which `ffnn-xp fit --card` repeats the fit."),
    ] = False,
    json: Json = False,
) -> None:
    """Show what a file of a network holds.

    The output says whether its fit was valid, with the statistic and the errors that the file keeps, which columns the
    network takes and gives, and what is known of its uncertainty.
    """
    state = load_state(net)
    if card:
        content = card_of_network(state.metadata, str(net))
        messages.show(to_json(content) if json else card_text(content))
    else:
        messages.show(to_json({"file": net} | describe(state)) if json else network_text(state, str(net)))
