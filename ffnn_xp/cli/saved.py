"""Networks in files, with tables: which columns are their inputs, predictions as a table, and the fit once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import to_numpy
from ffnn_xp.cli import categories, messages
from ffnn_xp.cli.card import card_of_network, read_card
from ffnn_xp.cli.options import FitRequest, output_names
from ffnn_xp.cli.tables import Frame, numbers, numeric_columns, require_columns
from ffnn_xp.cli.text_tables import STDIN
from ffnn_xp.io import NetworkState, load_state
from ffnn_xp.model import FitResult, Model

SAME = 1e-3  # relative difference of S above which the data are not those that were fitted


def inputs_of(frame: Frame, network: NetworkState) -> HostArray:
    """Return the inputs of a network ``(n, d)``, by the names in its file, else the numeric columns, if they fit."""
    known = categories.of_metadata(network.metadata)
    if network.input_names is not None:
        columns = categories.columns_of(network.input_names, known)
        require_columns(frame, columns, "an input of the network")
        return categories.inputs(frame, columns, known)
    columns, _ = numeric_columns(frame)
    d = network.widths[0]
    if len(columns) != d:
        raise ValueError(
            f"the network's file has no names of columns, and the table has {len(columns)} numeric columns where the "
            f"network has {d} inputs: save it with input_names=[...], or give a table of its inputs alone"
        )
    return numbers(frame, columns)


def warn_if_not_valid(network: NetworkState) -> None:
    """Say so if a network comes from a fit that was not valid."""
    if network.fit is not None and not network.fit.get("valid"):
        messages.say("warning: this network comes from a fit that was not valid")


@dataclass(frozen=True)
class FitAgain:
    """The fit of a saved network, made again of its data.

    Attributes
    ----------
    result : FitResult
        The fit.
    inputs, outputs : list of str
        The names of the inputs, and of the measured values or classes.
    """

    result: FitResult
    inputs: list[str]
    outputs: list[str]


def table_again(net: Path, table: Path | None) -> Path:
    """Return the table of a saved network's fit: the one that is given again, or that of its run card.

    Raises
    ------
    OSError, ValueError
        If the network has no run card, or was fitted to standard input and no table is given.
    """
    of_card = read_card(net)["table"]
    if table is None and of_card == STDIN:
        raise ValueError(f"{str(net)!r} was fitted to standard input, which is gone: give the TABLE again")
    return Path(of_card) if table is None else table


def fit_again(net: Path, table: Path, **where: Any) -> FitAgain:
    """Repeat the fit of a saved network by its run card, with this table; `where` is the backend and device.

    A fit with a prior of its own width, or none, goes on from the saved parameters, where it ends at once. The choice
    of a prior is made again, from the same seed.

    Raises
    ------
    OSError, ValueError
        If the network has no run card, or its data cannot be used.
    """
    network = load_state(net)
    card = {**card_of_network(network.metadata, str(net)), "table": str(table), **where}
    request = FitRequest.of(card)
    data = request.read(categories.of_metadata(network.metadata))
    if tuple(data.names) != network.input_names:
        raise ValueError(
            f"the inputs of the network are {', '.join(network.input_names or ())}, and those of the table "
            f"{', '.join(data.names)}: give the table that was fitted"
        )
    model = Model.from_state(network, **where)
    here = {} if request.prior == "auto" else {"start": "current", "restarts": 1}
    result = request.fit(model, data, seed=card["seed"], **here)
    before = (network.fit or {}).get("chi2")
    if before is not None and abs(result.chi2 - before) > SAME * max(abs(before), 1.0):
        messages.say(
            f"warning: S is {result.chi2:.6g} with this table, and {before:.6g} in the network's file: the data are "
            "not those that were fitted, or the fit ended elsewhere"
        )
    outputs = output_names(request.targets, card["loss"], result.problem.data.n_values)
    return FitAgain(result, data.names, outputs)


def predictions(model: Model, network: NetworkState, x: Any, *, std: bool, interval: float | None = None) -> Frame:
    """Return a table of each target and, if requested, ``<target>_std``, ``<target>_low`` and ``<target>_high``."""
    pandas = require("pandas", "table", "writing tables")
    k = network.widths[-1]
    targets = network.target_names or (("y",) if k == 1 else tuple(f"y{i}" for i in range(k)))
    values = model.predict(x, return_std=True) if std else (model.predict(x),)
    suffixes = ["", "_std"][: len(values)]
    if interval is not None:
        values, suffixes = (*values, *model.interval(x, cl=interval)), [*suffixes, "_low", "_high"]
    parts = [to_numpy(a).reshape(-1, k) for a in values]
    names = [f"{target}{suffix}" for target in targets for suffix in suffixes]
    if len(set(names)) < len(names):
        raise ValueError(f"the columns {', '.join(names)} would have one name twice: use --no-std, without --interval")
    columns = [part[:, i] for i in range(k) for part in parts]
    return pandas.DataFrame(dict(zip(names, columns, strict=True)))
