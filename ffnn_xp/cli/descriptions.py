"""Descriptions of networks and studies: as JSON for programs, and as text for people.

JSON has no infinite numbers, and none that are not defined: the former are the texts ``"inf"`` and ``"-inf"``, the
latter null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ffnn_xp._lib.text import pair_lines, table_lines
from ffnn_xp._lib.version import __version__
from ffnn_xp.cli.card import KEY, parse_card
from ffnn_xp.cli.categories import of_metadata
from ffnn_xp.io import NetworkState
from ffnn_xp.network import Layout
from ffnn_xp.studies import Coverage


def to_json(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON object.

    Examples
    --------
    >>> to_json({"error": float("inf"), "p_value": float("nan"), "y": np.array([1.5])}).split()
    ['{', '"error":', '"inf",', '"p_value":', 'null,', '"y":', '[', '1.5', ']', '}']
    """
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value in types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def describe(network: NetworkState) -> dict[str, Any]:
    """Return what is known of a network and its fit, for JSON."""
    *hidden, output = (a.name for a in network.activations)
    fit = None
    if network.fit is not None:
        fit = {**network.fit, "ndof": _ndof(network.fit)}
    card = network.metadata.get(KEY)
    return {
        "ffnn_xp": __version__,
        "network": {
            "name": network.name,
            "widths": network.widths,
            "activations": hidden,
            "output": output,
            "parameters": len(network.theta),
            "dtype": network.dtype,
            "inputs": network.input_names,
            "targets": network.target_names,
            "categories": of_metadata(network.metadata),
        },
        "fit": fit,
        "uncertainty": {
            "band": network.band is not None,
            "no_band": network.no_band,
            "networks": 0 if network.predictive is None else len(network.predictive.members),
            "prior": network.prior is not None,
        },
        "card": None if card is None else parse_card(card, "the network"),
    }


def describe_coverage(coverage: Coverage) -> dict[str, Any]:
    """Return what a study of coverage found, for JSON."""
    points = coverage.pointwise.reshape(len(coverage.claimed), -1)
    return {
        "ffnn_xp": __version__,
        "levels": [
            {"nominal": nominal, "averaged": averaged, "lowest": at.min(), "highest": at.max()}
            for nominal, averaged, at in zip(coverage.claimed, coverage.averaged, points, strict=True)
        ],
        "bias_rms": np.sqrt(np.mean(coverage.bias**2)),
        "spread": coverage.spread.mean(),
        "toys": coverage.n_toys,
        "failed": coverage.n_failed,
        "stopped": coverage.stopped,
    }


def network_text(network: NetworkState, header: str) -> str:
    """Return the text of a saved network, after the name of its file."""
    about = describe(network)
    net, fit, card = about["network"], about["fit"], about["card"] or {}
    names = dict.fromkeys([*net["activations"], net["output"]])
    shape = ", ".join(["-".join(map(str, network.widths)), *names])
    pairs = [("parameters", f"{net['parameters']}, {net['dtype']}")]
    pairs += [(word, ", ".join(net[word])) for word in ("inputs", "targets") if net[word]]
    what = "network"
    if fit is not None:
        what = "valid minimum of" if fit["valid"] else "NOT VALID, of"
        pairs += _of_fit(fit)
    pairs += [("prior", _prior(network, card)), ("uncertainty", _uncertainty(network))]
    rows = [("layer", "matrix", "parameters", "rms"), *_layers(network)]
    return "\n".join(
        [f"{header}: {what} {shape}"]
        + pair_lines(pairs)
        + table_lines(rows)
        + ([f"  {fit['message']}"] if fit is not None else [])
    )


def _ndof(fit: Mapping[str, Any]) -> float | None:
    return None if fit.get("n_effective") is None else fit["n_data"] - fit["n_effective"]


def _of_fit(fit: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = [("statistic", fit["statistic"])] if fit.get("statistic") else []
    if fit["chi2"] is not None and fit["ndof"]:
        ratio = fit["chi2"] / fit["ndof"]
        text = f"{fit['chi2']:.6g} / ({fit['n_data']} - {fit['n_effective']:.5g}) = {ratio:.4g}"
        p_value = fit.get("p_value")
        pairs.append(("S / ndof", text if p_value is None else f"{text}, p-value {p_value:.2g}"))
    if fit["edm"] is not None:
        pairs.append(("EDM", f"{fit['edm']:.2g}"))
    y_error = fit["y_error"]
    if y_error is not None:
        pairs.append(("errors of y", f"from residuals: {', '.join(f'{e:.3g}' for e in y_error)}"))
    return [*pairs, ("covariance", fit["covariance"])]


def _prior(network: NetworkState, card: Mapping[str, Any]) -> str:
    if network.prior is None:
        return "none"
    chosen = (network.fit or {}).get("prior")
    return chosen or (f"Gaussian of width {card['prior']}" if "prior" in card else "Gaussian")


def _uncertainty(network: NetworkState) -> str:
    density = "" if network.predictive is None else f"predictive density of {len(network.predictive.members)} networks"
    density = density.replace(" 1 networks", " 1 network")
    band = "error band" if network.band is not None else f"no error band: {network.no_band}"
    return f"{band}; {density}" if density else band


def _layers(network: NetworkState) -> list[tuple[str, ...]]:
    layout = Layout(network.widths)
    rows: list[tuple[str, ...]] = []
    for l, (start, (r, c)) in enumerate(zip(layout.offsets, layout.shapes, strict=False), start=1):
        theta = network.theta[start : start + r * c]
        rows.append((f"L{l} -> L{l + 1}", f"{r} x {c}", str(r * c), f"{np.sqrt(np.mean(theta**2)):.3g}"))
    return rows
