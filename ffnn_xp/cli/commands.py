"""The commands of ``ffnn-xp``: backends, fit, predict, export."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer

from ffnn_xp._lib.version import __version__
from ffnn_xp.backends import backend_status
from ffnn_xp.cli import messages
from ffnn_xp.cli.fit_command import fit
from ffnn_xp.cli.network_commands import export_to_file, predict

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    help="Fit small neural networks with MINUIT: tables in, certified fits with errors out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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


def show_backends() -> None:
    """Show which array libraries and devices work here.

    For each library its version, its devices, and whether it computes correctly here, or why not.
    """
    messages.show(f"{'library':<18}{'version':<12}{'usable':<8}devices, or why not")
    for status in backend_status():
        usable, text = ("yes", ", ".join(status.devices)) if status.usable else ("no", status.reason)
        messages.show(f"{status.name:<18}{status.version or '-':<12}{usable:<8}{text}")


COMMANDS: dict[str, Callable[..., None]] = {
    "backends": show_backends,
    "fit": fit,
    "predict": predict,
    "export": export_to_file,
}
for name, command in COMMANDS.items():
    app.command(name)(_guarded(command))
