"""The commands of ``ffnn-xp``, each with examples for its help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ffnn_xp._lib.version import __version__
from ffnn_xp.backends import backend_status
from ffnn_xp.cli import messages
from ffnn_xp.cli.arguments import Json
from ffnn_xp.cli.descriptions import to_json
from ffnn_xp.cli.examples import epilog
from ffnn_xp.cli.fit_command import fit
from ffnn_xp.cli.network_commands import export_to_file, predict, show
from ffnn_xp.cli.study_commands import coverage, plot

COMPLETION = """\b
Commands, options, statistics and the table's columns complete in your shell:
  ffnn-xp --install-completion
Examples are at the end of the help of each command: ffnn-xp fit --help"""

app = typer.Typer(
    help="Fit small neural networks with MINUIT: tables in, certified fits with errors out.",
    epilog=COMPLETION,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Grouped(TyperCommand):
    """A command whose help lists the options under headings, in order of their first option."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options into the help."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                heading = "Arguments" if argument else getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


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


def show_backends(json: Json = False) -> None:
    """Show which array libraries and devices work here.

    For each library its version, its devices, and whether it computes correctly here, or why not.
    """
    if json:
        messages.show(to_json({"ffnn_xp": __version__, "backends": [asdict(status) for status in backend_status()]}))
        return
    messages.show(f"{'library':<18}{'version':<12}{'usable':<8}devices, or why not")
    for status in backend_status():
        usable, text = ("yes", ", ".join(status.devices)) if status.usable else ("no", status.reason)
        messages.show(f"{status.name:<18}{status.version or '-':<12}{usable:<8}{text}")


COMMANDS: dict[str, Callable[..., None]] = {
    "fit": fit,
    "predict": predict,
    "show": show,
    "plot": plot,
    "coverage": coverage,
    "export": export_to_file,
    "backends": show_backends,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Grouped, epilog=epilog(name))(messages.guarded(command))
