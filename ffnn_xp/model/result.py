"""`FitResult`: the result of a fit, and studies of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import iminuit

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.journal import recorded_seed
from ffnn_xp._lib.limits import interruptible
from ffnn_xp._lib.progress import showing
from ffnn_xp._lib.typing import PathLike
from ffnn_xp._lib.validation import seed_numbers, whole_number
from ffnn_xp.fitting import FitRecord, seeds_of
from ffnn_xp.minimizers import at_minimum, is_certified, preset, unstarted
from ffnn_xp.model.fit_predictions import FitPredictions
from ffnn_xp.model.pictures import FitPictures
from ffnn_xp.model.summary import to_html, to_text
from ffnn_xp.plotting import embedded_picture
from ffnn_xp.studies import (
    Goodness,
    Others,
    Report,
    assess_goodness,
    minuit_of_subset,
    report,
)


@quiet
@dataclass(frozen=True, repr=False)
class FitResult(FitPictures, FitPredictions):
    """The result of `Model.fit`: its numbers (`FitRecord` lists all of them), and studies of the fit.

    The studies are bands (`band`), functions of predictions (`propagate`), histograms (`to_hist`), MINUIT itself
    (`minuit`, `minuit_of`), the goodness of fit (`goodness`), the coverage of bands (`coverage`), the directions that
    the data determine (`report`), and the influence of the prior (`prior_share`).

    A notebook shows its verdict and numbers, and the picture of `plot` if matplotlib is installed and drawing takes
    little time: for up to 10,000 values, 1,000 parameters and three outputs.

    Attributes
    ----------
    valid, message
        Whether a minimum was certified, and the reason or what to do.
    fval, chi2, edm, n_data, n_effective, ndof, p_value
        The cost at the minimum, the data's part of it, EDM, and the numbers that chi2 is compared with.
    parameters, errors, covariance, names
        Theta, with shape (p,), its standard deviations, its (p, p) covariance, and its names.
    """

    @classmethod
    def of(cls, record: FitRecord) -> FitResult:
        """Return the result with the numbers of a record."""
        return cls(**{f.name: getattr(record, f.name) for f in fields(record)})

    def __repr__(self) -> str:
        return to_text(self)

    def _repr_html_(self) -> str:
        return to_html(self) + embedded_picture(self)

    @cached_property
    def minuit(self) -> iminuit.Minuit:
        """A live `Minuit` in raw units, for MINOS, contours, fixed parameters and all the rest.

        It is made at the first use. (The certificate is computed in standardised units, where no digits are lost to
        rounding.) It has no infinite errors: where `errors` are infinite, its own are start values without a meaning.
        With ``covariance="sandwich"`` its errors are still those of the likelihood: for others read `errors`.
        """
        spectrum, scaling, raw = self.spectrum, self.scaling, self.raw_cost
        theta = scaling.to_raw(self.standardised)
        if spectrum is None or spectrum.n_negative or not spectrum.factor.shape[1]:
            return unstarted(raw, theta)
        covariance = scaling.linear(scaling.linear(spectrum.inverse_hessian(raw.errordef)).T)
        # MIGRAD has to run for HESSE to use our Hessian. In raw units its arithmetic may not be exact enough to certify
        # the minimum; then `Minuit` has the covariance alone.
        minuit = at_minimum(raw, theta, covariance)
        return minuit if is_certified(minuit) else preset(raw, theta, covariance)

    def minuit_of(
        self, names: Sequence[str], others: Others = "profiled", *, progress: bool | None = None
    ) -> iminuit.Minuit:
        """Return a live `Minuit` of some of the parameters; this works for networks of any size.

        Parameters
        ----------
        names : sequence of str
            Names of the parameters, from `FitResult.names`.
        others : {"profiled", "fixed"}
            Whether the other parameters are refitted for each value of these, so that errors and MINOS intervals are
            those of the whole fit, or fixed. They are those of the likelihood, with ``covariance="sandwich"`` too.
        progress : bool, optional
            Whether to show a progress bar until the errors of the subset are known, as in `Model.fit`.

        Returns
        -------
        iminuit.Minuit
            A `Minuit` in raw units that has run MIGRAD, with the subset's covariance and names.
            ``minuit.cost.parameters(values)`` returns all parameters for values of the subset.

        Raises
        ------
        ValueError
            For unknown names, and at a point that is no minimum in the other parameters.
        RuntimeError
            Later, in a call of MINUIT, if the refit of the others does not converge.

        Warns
        -----
        FitWarning
            Later, in a call of MINUIT, if S is lower there than at the fit's minimum; ``minuit.cost.deeper`` is where.

        Notes
        -----
        With "profiled" each call of MINUIT follows the others from the minimum along a straight line, in steps of half
        a standard deviation and more, each of some of Newton's steps. So S is a function of the subset's values alone.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> m = fit.minuit_of(["b_L2_L3[0]"])
        >>> m.valid, bool(np.isclose(m.errors[0], fit.errors[-1], rtol=1e-3))
        (True, True)
        """
        with showing(progress):
            return minuit_of_subset(self.cost, self.scaling, self.standardised, names, others)

    def goodness(
        self,
        number: int = 0,
        *,
        seed: Any = None,
        progress: bool | None = None,
        max_seconds: float | None = None,
        executor: Executor | None = None,
        checkpoint: PathLike | None = None,
    ) -> Goodness:
        """Assess whether the fit describes the data, by chi-square with toys, pulls and their runs, and calibration.

        Parameters
        ----------
        number : int
            Toys, each fitted again; 0 is none. Where S is not a chi-square (few counts, yes or no) only toys give a
            p-value.
        seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
            Seed of the toys.
        progress : bool, optional
            Whether to show a progress bar, as in `Model.fit`.
        max_seconds : float, optional
            Time after which there are no further toys; `stopped` says how many there are. In an interactive session
            Ctrl-C does the same; a script ends.
        executor : concurrent.futures.Executor, optional
            Whose workers share the toys; see `Model.fit_replicas`.
        checkpoint : path-like, optional
            File that keeps the toys that are done, so that the same call goes on from there, as in `Model.fit`.

        Raises
        ------
        ValueError
            If `number` is negative or no integer.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> counts = np.random.default_rng(1).poisson(np.exp(np.sin(2 * x)))
        >>> fit = fx.Model((1, 3, 1), output="exp", seed=1).fit(x, counts, loss="poisson", prior=3.0)
        >>> good = fit.goodness(100, seed=1)
        >>> good.n_toys, bool(0.05 < good.p_toys < 0.95)
        (100, True)
        """
        workers = self._workers(executor, max_seconds)
        seed, number = seed_numbers(seed), whole_number(number, "number", 0)
        keep = self._keeping(checkpoint, "goodness", number=number, seed=seed)
        with showing(progress), interruptible() as stop:
            with keep:
                found = assess_goodness(self._fitted, seeds_of(recorded_seed(seed), number), workers)
            stop.reason = found.stopped
        return found

    def report(self) -> Report:
        """Report which directions the data determine, effective parameters by layer, and units that contribute nothing.

        It takes about as long as one Gauss-Newton matrix and its eigenvalues.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> two = np.stack([x, 1 - 2 * x], axis=1)
        >>> fit = fx.Model((2, 2, 1), seed=1).fit(two, np.tanh(2 * x), 0.1, prior=3.0)
        >>> fit.report().copies
        (('input 0', 'input 1'),)
        """
        names = self.problem.data.input_names
        return report(
            self.cost,
            self.standardised,
            self.description,
            matrices=self.with_matrices,
            input_names=names,
            caution=self.caution,
        )
