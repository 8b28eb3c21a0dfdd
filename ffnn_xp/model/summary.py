"""The text and HTML of a fit's record, readable at 16 and at 20,000 parameters."""

from __future__ import annotations

from html import escape

import numpy as np

from ffnn_xp._lib.text import pair_html, pair_lines, table_html, table_lines
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import FitRecord

_HEADER = ("layer", "matrix", "parameters", "rms", "median error", "unidentified")


def _lines(record: FitRecord) -> list[tuple[str, str]]:
    ratio = record.chi2 / record.ndof if record.ndof > 0 else float("nan")
    word = f"{record.statistic.display_name} / ndof"
    given = word, f"{record.chi2:.6g} / ({record.n_data} - {record.n_effective:.5g}) = {ratio:.4g}"
    if not np.isnan(record.p_value):
        given = given[0], f"{given[1]}, p-value {record.p_value:.2g}"
    best = min(record.restarts, key=lambda r: r.fval).start if record.restarts else 0
    calls = sum(r.calls for r in record.restarts)
    starts = f"{len(record.restarts)} start{'s' * (len(record.restarts) != 1)}"
    search = f"{starts}, the best is number {best}; {calls} gradient calls"
    minima = [r.minimum for r in record.restarts if r.minimum]
    if record.hops:
        search = f"{starts} and {record.hops} networks of basin hopping, {record.found} of them at the best minimum"
    elif len(minima) > 1:
        found = f"{max(minima)} minima, {minima.count(1)} at" if max(minima) > 1 else "the same minimum"
        search += f"; {len(minima)} converged to {found}{' the best' if max(minima) > 1 else ''}"
    checked = not np.isnan(record.hesse_difference)
    check = f"; HESSE's errors agree to {record.hesse_difference:.1g}" if checked else ""
    lines = [
        given,
        (
            "EDM",
            (
                f"between {record.edm_newton:.2g} and {record.edm:.2g} by conjugate gradients "
                if record.certificate == "conjugate gradients"
                else f"{record.edm:.2g} by MINUIT, {record.edm_newton:.2g} by Newton's step "
            )
            + f"(goal: {record.edm_goal:.2g})",
        ),
        ("covariance", record.covariance_source + check),
        ("errors of y", _errors_of_y(record)),
        (
            "search",
            f"{search if record.restarts else 'none'}; MINUIT {record.minuit_calls} calls; {record.seconds:.2f} s",
        ),
    ]
    if record.recipe is not None:
        lines.insert(1, ("prior", record.recipe.words()))
    elif record.no_prior:
        lines.insert(1, ("prior", f"none: {record.no_prior}"))
    if not np.isnan(record.log_evidence):
        lines.insert(1, ("evidence", f"log Z = {record.log_evidence:.6g} by Laplace; differences of it compare fits"))
    if record.fval != record.chi2:
        lines.insert(1, ("cost", f"{record.fval:.6g}, of which the prior {record.fval - record.chi2:.4g}"))
    return lines


def _errors_of_y(record: FitRecord) -> str:
    if record.y_error is not None:
        return f"from {'the' if record.recipe is None else 'held-out'} residuals: {_few(record.y_error)}"
    given = record.statistic.auxiliary in ("y_err", "y_cov")
    return "as given" if given else f"those of the statistic: {record.statistic.name}"


def _layers(record: FitRecord) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for l, (start, (r, c)) in enumerate(zip(record.layout.offsets, record.layout.shapes, strict=False), start=1):
        theta, errors = record.parameters[start : start + r * c], record.errors[start : start + r * c]
        open_ = int(np.sum(np.isinf(errors)))
        known = errors[np.isfinite(errors)]
        median = f"{np.median(known):.2g}" if len(known) else "-"
        rows.append(
            (
                f"L{l} -> L{l + 1}",
                f"{r} x {c}",
                str(r * c),
                f"{np.sqrt(np.mean(theta**2)):.3g}",
                median,
                str(open_),
            )
        )
    return rows


def to_text(record: FitRecord) -> str:
    """Return the text of a fit's record."""
    head = f"FitResult: {'valid minimum' if record.valid else 'NOT VALID'} of {record.description}"
    if record.caution:
        head += f"{', but' if record.valid else ':'} {record.caution}"
    table = table_lines([_HEADER, *_layers(record)])
    return "\n".join([head, *pair_lines(_lines(record)), *table, f"  {record.message}"])


def to_html(record: FitRecord) -> str:
    """Return the HTML of a fit's record, for notebooks."""
    color = "#c62828" if not record.valid else "#ef6c00" if record.caution else "#2e7d32"
    word = "Valid minimum" if record.valid else "Not valid"
    caution = f"{', but' if record.valid else ':'} <b>{escape(record.caution)}</b>" if record.caution else ""
    head = f'<p><b style="color:{color}">{word}</b> of {escape(record.description)}{caution}</p>'
    layers = table_html([_HEADER, *_layers(record)])
    return f"{head}{pair_html(_lines(record))}{layers}<p>{escape(record.message)}</p>"


def _few(values: HostArray) -> str:
    shown = ", ".join(f"{v:.3g}" for v in values[:4])
    return shown + (f", ... ({len(values)} outputs)" if len(values) > 4 else "")
