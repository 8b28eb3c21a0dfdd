"""Words for a certified minimum that does not describe its data."""

from __future__ import annotations

import scipy  # its submodules load when they are first used

from ffnn_xp.fitting.problem import FitProblem

POOR = 1e-6  # p-value below which a fit is said not to describe the data


def poor_description(problem: FitProblem, chi2: float, ndof: float) -> tuple[str, str]:
    """Return a few words and a sentence for a minimum, however certified, that does not describe the data."""
    if ndof <= 0:
        few = "there are as many effective parameters as values"
        return few, f" But {few}, so chi2 says nothing about the fit."
    if not problem.is_chi_square or problem.data.weighted:
        return "", ""
    ratio = f"chi2/ndof = {chi2 / ndof:.3g}"
    if scipy.special.gammainc(ndof / 2, chi2 / 2) < POOR:
        return (
            f"{ratio} is too small",
            f" But {ratio} is too small: the network overfits, and its band is too narrow (use a "
            "prior, or fewer units), or the errors of y are too large.",
        )
    if scipy.special.gammaincc(ndof / 2, chi2 / 2) > POOR:
        return "", ""
    return (
        f"{ratio}: it does not describe the data",
        f" But {ratio} says that the fit does not describe the data within their errors: a local "
        "minimum (try more restarts), too few units, or errors of y that are too small.",
    )
