"""The parts of a fitted model that its file keeps: the error band, the predictive density, a summary of the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp.model.result import FitResult
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive


@dataclass(frozen=True)
class FileTuning:
    """Tuned numbers of files."""

    band_limit: int = tuned(
        2000, "parameters up to which a file keeps the band by default, 8 p^2 bytes; fewer: more files without errors"
    )


FILE_TUNING = FileTuning()


def band_to_save(
    band: LinearBand | MatrixFreeBand | None, no_band: str, wanted: bool | None, tuning: FileTuning
) -> tuple[LinearBand | None, str]:
    """Return the error band that a file keeps, or None and the reason why it keeps none.

    Parameters
    ----------
    band : LinearBand, MatrixFreeBand or None
        The model's band.
    no_band : str
        The reason why it has none.
    wanted : bool or None
        Whether the user wants the band in the file; None decides by its size.
    tuning : FileTuning
        The size up to which it is kept by default.

    Raises
    ------
    ValueError
        If the user wants a band that cannot be saved.
    """
    if isinstance(band, LinearBand):
        p = len(band.theta)
        if wanted is False:
            return None, "it was left out of the file (band=False)"
        if wanted is None and p > tuning.band_limit:
            size = f"{p} parameters, more than {tuning.band_limit}"
            return None, f"it was left out of the file for its size ({size}): save with band=True to keep it"
        return band, ""
    why = no_band
    if isinstance(band, MatrixFreeBand):
        why = "no p x p matrix was formed in the fit, and the band is computed from the data themselves"
    if wanted:
        raise ValueError(f"there is no error band to save: {why}")
    return None, f"it was left out of the file: {why}" if isinstance(band, MatrixFreeBand) else why


def predictive_to_save(density: Predictive | None, band: LinearBand | None, wanted: bool | None) -> Predictive | None:
    """Return the predictive density that a file keeps, given the band that it keeps.

    An ensemble is kept at any size, since the model predicts with it, unless the user wants no band. Files have no
    place for a density with predicted widths.
    """
    if (
        density is None
        or wanted is False
        or density.predicts_width
        or not all(isinstance(member.band, LinearBand) for member in density.members)
    ):
        return None
    return density if len(density.members) > 1 or band is not None else None


def fit_summary(fit: FitResult) -> dict[str, Any]:
    """Return the numbers of a fit that a file keeps, with None for NaN, which JSON does not have."""
    numbers = {name: float(getattr(fit, name)) for name in ("fval", "chi2", "edm", "n_effective", "p_value")}
    return {
        "valid": bool(fit.valid),
        "message": fit.message,
        "caution": fit.caution,
        "statistic": fit.statistic.name,
        "n_data": int(fit.n_data),
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
        "covariance": fit.covariance_source,
        "prior": fit.no_prior or None if fit.recipe is None else fit.recipe.words(),
        "y_error": None if fit.y_error is None else [float(e) for e in fit.y_error],
    }
