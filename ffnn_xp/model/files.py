"""`SavablePredictor`: a network that goes to files and comes back, with its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import PathLike
from ffnn_xp._lib.validation import column_names
from ffnn_xp.backends import Backend, get_backend
from ffnn_xp.io import NetworkState, load_state, save_state
from ffnn_xp.model.new_measurements import MeasurementPredictor
from ffnn_xp.model.result import FitResult
from ffnn_xp.model.state import FILE_TUNING, FileTuning, band_to_save, fit_summary, predictive_to_save
from ffnn_xp.network import Activation

Saved = TypeVar("Saved", bound="SavablePredictor")


@quiet
class SavablePredictor(MeasurementPredictor):
    """A network with errors that can be saved and loaded, the part of `Model` that files are about."""

    def to_state(
        self,
        *,
        band: bool | None = None,
        fit: FitResult | None = None,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        tuning: FileTuning = FILE_TUNING,
    ) -> NetworkState:
        """Return the content of a file: the network with its uncertainty on the host.

        Parameters
        ----------
        band, fit, input_names, target_names, metadata
            As in `save`.
        tuning : FileTuning
            The size up to which the band is kept by default.

        Raises
        ------
        NotFittedError
            If widths are to be read from the data and there were none yet.
        ValueError
            If `fit` is not that of the model's parameters, or a band is requested and there is none.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> state = fx.Model.from_matrices([([[2.0]], [1.0])]).to_state(metadata={"run": "42"})
        >>> state.widths, state.theta, state.no_band
        ((1, 1), array([2., 1.]), 'the parameters were set by hand')
        """
        theta = self._backend.to_host(self.parameters)
        if fit is not None and not np.array_equal(np.asarray(fit.parameters, self._backend.dtype), theta):
            raise ValueError(
                "`fit` belongs to other parameters than the model's: save right after the fit, or without it"
            )
        kept, no_band = band_to_save(self._band, self._no_band, band, tuning)
        widths = self.network.layout.widths
        return NetworkState(
            widths=widths,
            activations=self._activations,
            theta=theta,
            dtype=self._backend.dtype,
            y_was_column=self._column,
            band=kept,
            no_band=no_band,
            predictive=predictive_to_save(self._predictive, kept, band),
            prior=self._prior,
            input_names=column_names(input_names, "input_names", widths[0]) or self._input_names,
            target_names=column_names(target_names, "target_names", widths[-1]) or self._target_names,
            fit=None if fit is None else fit_summary(fit),
            metadata=metadata or {},
            name=self.name or "",
        )

    @classmethod
    def from_state(
        cls: type[Saved],
        state: NetworkState,
        *,
        backend: str | Backend = "auto",
        device: Any = None,
        dtype: str | None = None,
        fallback: bool | None = None,
    ) -> Saved:
        """Build a model from what `to_state` returned, on any backend and device.

        Parameters
        ----------
        state : NetworkState
            The network.
        backend, device, dtype, fallback
            As in `load`.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> model = fx.Model((8, 7, 6), seed=1)
        >>> bool((fx.Model.from_state(model.to_state()).parameters == model.parameters).all())
        True
        """
        *hidden, output = state.activations
        found = get_backend(backend, device=device, dtype=state.dtype if dtype is None else dtype, fallback=fallback)
        model = cls(state.widths, activation=hidden, output=output, backend=found, name=state.name or None)
        model._restore(state)
        return model

    def _restore(self, state: NetworkState) -> None:
        """Take the parameters and what belongs to them from a state."""
        self.parameters = state.theta
        self._column, self._input_names, self._target_names = state.y_was_column, state.input_names, state.target_names
        self._set_uncertainty(state.band, state.no_band, state.predictive, state.prior)

    def save(
        self,
        path: PathLike,
        *,
        band: bool | None = None,
        fit: FitResult | None = None,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the network to a safetensors file, for `ffnn_xp.load` or any other reader of that format.

        The file is the same for all backends. An existing file is replaced only when the new one is complete.

        Parameters
        ----------
        path : path-like
            The file, usually ``*.safetensors``.
        band : bool, optional
            Whether to keep the error band, 8 p^2 bytes, and the predictive density. By default they are kept up to
            p = 2000 parameters, which is 32 MB; the networks of an ensemble (``prior="auto"``) and their bands at any
            size. Without them the loaded model predicts with the best network.
        fit : FitResult, optional
            The result of `fit`, of which a summary is written to the header.
        input_names, target_names : sequence of str, optional
            Names of the inputs and outputs; by default those of the tables that were fitted.
        metadata : mapping of str to str, optional
            Anything else; `ffnn_xp.io.read_header` returns it.

        Raises
        ------
        NotFittedError
            If widths are to be read from the data and there were none yet.
        TypeError, ValueError
            If the names, the metadata, `fit` or `band` are not those of a file of this model; the message says why.
        OSError
            If the file cannot be written; the message says why.
        ImportError
            If safetensors is not installed.

        Examples
        --------
        >>> import tempfile
        >>> import ffnn_xp as fx
        >>> model = fx.Model((8, 7, 6), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/net.safetensors")
        ...     same = fx.load(f"{folder}/net.safetensors")
        >>> bool((same.parameters == model.parameters).all())
        True
        """
        state = self.to_state(band=band, fit=fit, input_names=input_names, target_names=target_names, metadata=metadata)
        save_state(state, path)

    @classmethod
    def load(
        cls: type[Saved],
        path: PathLike,
        *,
        backend: str | Backend = "auto",
        device: Any = None,
        dtype: str | None = None,
        fallback: bool | None = None,
        activations: Iterable[Activation] = (),
    ) -> Saved:
        """Load a network that `Model.save` wrote, on any backend and device.

        Parameters
        ----------
        path : path-like
            The file.
        backend, device, fallback
            The backend; see `get_backend`. The file does not contain the backend of the fit.
        dtype : {"float64", "float32"}, optional
            Type of all numbers; by default the file's.
        activations : iterable of Activation
            Your own activations, of which the file contains the names only.

        Returns
        -------
        Model
            A model with the same predictions, error band and predictive density; ``fit(start="current")`` goes on from
            its parameters.

        Raises
        ------
        FileFormatError
            If it is no such file, damaged, or of another version of the format, older or newer.
        OSError
            If the file cannot be read; the message says why.
        ValueError
            If one of your own activations is not given.
        ImportError
            If safetensors is not installed.

        Examples
        --------
        >>> import tempfile
        >>> import ffnn_xp as fx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fx.Model.from_matrices([([[2.0]], [1.0])]).save(f"{folder}/line.safetensors")
        ...     model = fx.load(f"{folder}/line.safetensors")
        >>> model([3.0])
        array([7.])
        """
        state = load_state(path, activations)
        return cls.from_state(state, backend=backend, device=device, dtype=dtype, fallback=fallback)
