"""The commands that need the data of a saved fit again: `plot` and `coverage`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.cli import messages
from ffnn_xp.cli.arguments import (
    COMPUTING,
    RESULTS,
    BackendName,
    Checkpoint,
    Device,
    Json,
    MaxSeconds,
    Network,
    TableAgain,
    names,
)
from ffnn_xp.cli.descriptions import describe_coverage, to_json
from ffnn_xp.cli.outputs import check_outputs, check_picture, write_picture
from ffnn_xp.cli.saved import FitAgain, fit_again, table_again
from ffnn_xp.data import split_root
from ffnn_xp.io import load_state
from ffnn_xp.model import Model

KINDS: dict[str, Callable[[FitAgain, Any], object]] = {
    "fit": lambda again, figure: again.result.plot(figure, input_names=again.inputs, target_names=again.outputs),
    "pulls": lambda again, figure: again.result.plot_pulls(figure.subplots()),
    "correlations": lambda again, figure: again.result.plot_correlations(figure.subplots()),
}
"""Pictures of a fit by their names."""

NETWORK = "network"
"""The picture that needs no data."""


def plot(
    net: Network,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Where to draw: .png, .pdf, .svg.", rich_help_panel=RESULTS),
    ],
    table: TableAgain = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="fit: data, curve and pulls; pulls: their distribution; correlations: of the parameters; network: its "
            "units and weights, without data.",
            rich_help_panel=RESULTS,
            autocompletion=names([*KINDS, NETWORK]),
        ),
    ] = "fit",
    backend: BackendName = "auto",
    device: Device = None,
) -> None:
    """Draw the fit of a saved network, with its data.

    The network's run card says which columns of the table were fitted. The fit goes on from the saved parameters, which
    takes no time, but that a prior which was chosen by cross-validation is chosen again.
    """
    if kind not in (*KINDS, NETWORK):
        raise ValueError(f"unknown --kind {kind!r}: {did_you_mean(kind, [*KINDS, NETWORK])}")
    if kind == NETWORK and table is not None:
        raise ValueError("--kind network is drawn without data: leave the TABLE out")
    check_picture("--out", out)
    data = None if kind == NETWORK else table_again(net, table)
    check_outputs({"the network": net, "the table": None if data is None else split_root(data)[0]}, {"--out": out})
    if data is None:
        model = Model.from_state(load_state(net), backend=backend, device=device)
        write_picture(out, lambda figure: model.draw(figure.subplots()))
    else:
        again = fit_again(net, data, backend=backend, device=device)
        write_picture(out, lambda figure: KINDS[kind](again, figure))
    messages.say(f"plot written to {out}")


def coverage(
    net: Network,
    table: TableAgain = None,
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", help="Toys, each fitted again.")] = 200,
    cl: Annotated[
        list[float] | None,
        typer.Option(
            metavar="CL",
            help="Nominal coverage, between 0 and 1; repeat for several. By default 0.683 and 0.954.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the toys.")] = 1,
    max_seconds: MaxSeconds = None,
    checkpoint: Checkpoint = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that share the toys.", rich_help_panel=COMPUTING)
    ] = 1,
    backend: BackendName = "auto",
    device: Device = None,
    json: Json = False,
) -> None:
    """Measure the coverage of a saved fit's error band by toys.

    Each toy is a new measurement of the fitted function, which is fitted again and gets its own band. The share of toys
    whose band covers the function should be the nominal one. Bias is that of the prior, or of too few units.

    The data are taken by the network's run card, as in `ffnn-xp plot`.
    """
    data = table_again(net, table)
    check_outputs({"the network": net, "the table": split_root(data)[0]}, {"--checkpoint": checkpoint})
    again = fit_again(net, data, backend=backend, device=device)
    with ExitStack() as stack:
        pool = None
        if processes > 1:
            pool = stack.enter_context(ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")))
        found = again.result.coverage(
            cl=cl or (0.683, 0.954),
            number=number,
            seed=seed,
            max_seconds=max_seconds,
            executor=pool,
            checkpoint=checkpoint,
        )
    messages.show(to_json({"file": net} | describe_coverage(found)) if json else str(found))
