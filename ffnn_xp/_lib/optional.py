"""Imports of optional libraries, with an error that names the extra that installs them."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, extra: str, purpose: str) -> Any:
    """Import an optional library.

    Parameters
    ----------
    module : str
        The import name of the library.
    extra : str
        The extra of this package that installs it.
    purpose : str
        The work that needs it, for the message.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to get it.

    Examples
    --------
    >>> require("json", "files", "a header").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ImportError(f"{purpose} needs {package}: pip install 'ffnn_xp[{extra}]'", name=package) from error
