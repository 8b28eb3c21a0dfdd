"""The options of the command `fit`: their types, headings, completions and help; `options` has their meaning."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ffnn_xp.backends import DTYPES
from ffnn_xp.cli.arguments import COMPUTING, DATA, FIT, JSON, NETWORK, RESULTS, columns, names
from ffnn_xp.cli.card import use_card
from ffnn_xp.losses import LOSSES
from ffnn_xp.network import ACTIVATIONS, OUTPUTS

ONE = "COLUMN|NUMBER"


def _option(heading: str, help: str, *declared: str, metavar: str, **others: Any) -> Any:
    return typer.Option(*declared, help=help, metavar=metavar, rich_help_panel=heading, **others)


_data = partial(_option, DATA, autocompletion=columns)
_network = partial(_option, NETWORK)
_fit = partial(_option, FIT)
_file = partial(_option, RESULTS, metavar="FILE")

Target = Annotated[list[str], _data("Column to describe; repeat for several.", "--target", "-t", metavar="COLUMN")]
Error = Annotated[
    list[str] | None,
    _data(
        "Standard deviation of the target: a column or a number; one for all targets, or repeat for each. Without it, "
        "one for each target is estimated from the residuals.",
        *("--error", "-e"),
        metavar=ONE,
    ),
]
Inputs = Annotated[
    list[str] | None,
    _data(
        "Columns to describe it by: a,b,c, or repeat for each. By default all other numeric columns.",
        *("--inputs", "-i"),
        metavar="COLUMNS",
    ),
]
Categorical = Annotated[
    list[str] | None,
    _data(
        "Inputs that are categories, text or whole numbers: a,b, or repeat for each. Each value becomes an input of 0 "
        "and 1; the network's file keeps them for `predict`.",
        metavar="COLUMNS",
    ),
]
Weights = Annotated[str | None, _data("Factor on the term of each event.", metavar=ONE)]
Mask = Annotated[str | None, _data("Column that is 1 or true for rows to use.", metavar="COLUMN")]
Exposure = Annotated[str | None, _data("Factor on the expected counts: time, volume, bin width.", metavar=ONE)]
Trials = Annotated[str | None, _data("N of the binomial k out of N.", metavar=ONE)]
InputError = Annotated[
    list[str] | None,
    _data("Standard deviation of the inputs: one for all, or repeat for each; needs --error.", "--x-err", metavar=ONE),
]
NoCovariance = Annotated[str | None, typer.Option("--y-cov", hidden=True)]

Layers = Annotated[str, _network("Units of the hidden layers: 8,7. Empty for a linear function.", metavar="UNITS")]
Nonlinearity = Annotated[
    str,
    _network(
        "Nonlinearity of the hidden layers: tanh, relu, softplus, ..., or one for each: tanh,relu.",
        metavar="NAMES",
        autocompletion=names(ACTIVATIONS),
    ),
]
Output = Annotated[
    str,
    _network(
        "Nonlinearity of the output: identity, or exp, softplus, relu for positive targets.",
        metavar="NAME",
        autocompletion=names(OUTPUTS),
    ),
]

Statistic = Annotated[
    str,
    _fit(
        "Statistic: least_squares, soft_l1, huber, student_t, normal; poisson with --output exp; binomial with "
        "--output logistic; multinomial with --output softmax.",
        metavar="NAME",
        autocompletion=names(LOSSES),
    ),
]
Prior = Annotated[
    str,
    _fit(
        "Width of a Gaussian prior on the weights: smaller is smoother, 1.0 is moderate. auto chooses it by "
        "cross-validation, and makes an ensemble of networks with calibrated intervals.",
        metavar="auto|none|WIDTH",
        autocompletion=names(["auto", "none"]),
    ),
]
Covariance = Annotated[
    str,
    _fit(
        "hessian, or sandwich: errors from the scatter of the data.",
        metavar="NAME",
        autocompletion=names(["hessian", "sandwich"]),
    ),
]
Restarts = Annotated[str, _fit("Number of random starts.", metavar="auto|N")]
Seed = Annotated[int, _fit("Seed of the random starts: the same seed gives the same fit.", metavar="N")]

Dtype = Annotated[
    str,
    _option(COMPUTING, "Type of all numbers: float64 or float32.", metavar="TYPE", autocompletion=names(DTYPES)),
]

Card = Annotated[
    Path | None,
    _file(
        "Take options from a run card, run.toml, or from a network that `fit` saved; options given beside it have "
        "precedence.",
        callback=use_card,
        is_eager=True,
    ),
]
WriteCard = Annotated[Path | None, _file("Write the options of this fit to a run card: run.toml.")]
Save = Annotated[Path | None, _file("Keep the network in this file: net.safetensors.")]
Plot = Annotated[Path | None, _file("Draw data, fit and pulls into this file: .png, .pdf, .svg.")]
Json = Annotated[bool, typer.Option("--json", help=JSON, rich_help_panel=RESULTS)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.", rich_help_panel=RESULTS)]
