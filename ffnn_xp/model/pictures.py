"""The pictures of results and models, as methods; `plotting` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp.fitting import FitRecord
from ffnn_xp.model.function import NetworkFunction
from ffnn_xp.plotting import draw_network, plot_correlations, plot_data, plot_minima, plot_pulls


@quiet
class FitPictures(FitRecord):
    """A fit that draws its data, pulls, minima and correlations."""

    def plot(
        self,
        axes: Any = None,
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
    ) -> Any:
        r"""Draw the data and the fit, two panels for each output (the first six).

        With one input: the data and the curve with its 68 % band, and the pulls below; of a histogram also the curve's
        mean over each bin, as steps. With several inputs: measured values against predictions, and the histogram of the
        pulls. All is in units of the network's output: counts over
        exposures, contents over the widths of bins, successes over trials. Yes or no, and classes, are shown as shares
        of groups of events. After ``prior="auto"`` curve, band and pulls are those of what `Model.predict` returns, the
        ensemble's; chi-square in the title is that of its best network, which MINUIT certified.

        Parameters
        ----------
        axes : array-like of matplotlib axes, or an empty matplotlib figure, optional
            Two panels for each output, or the figure that gets them; by default a new figure of pyplot. It grows with
            the number of panels; sizes of texts are those of matplotlib's style.
        input_names, target_names : sequence of str, optional
            Labels of the axes; by default the names of the columns of tables.

        Returns
        -------
        array of matplotlib axes with shape (outputs, 2)
            The panels.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the numbers of panels or names do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> from matplotlib.figure import Figure
        >>> x = np.linspace(0, 4, 40)
        >>> counts = np.random.default_rng(1).poisson(50 * np.exp(-x))
        >>> fit = fx.Model((1, 2, 1), output="exp", seed=1).fit(x, counts, loss="poisson", prior=3.0)
        >>> ((main, pulls),) = fit.plot(Figure().subplots(2), target_names=["counts"])
        >>> main.get_ylabel(), pulls.get_ylabel()
        ('counts', 'pull')
        """
        return plot_data(self, axes, input_names=input_names, target_names=target_names)

    def plot_pulls(self, axes: Any = None) -> Any:
        """Draw the distribution of the pulls, beside the unit normal distribution, and return the axes.

        Yes or no, and classes, have the pulls of the shares of groups of events.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> from matplotlib.figure import Figure
        >>> fit = fx.Model((1, 1), seed=1).fit([0.0, 1.0, 2.0], [1.0, 3.1, 4.9], 0.1)
        >>> fit.plot_pulls(Figure().subplots()).get_ylabel()
        'entries per bin'
        """
        return plot_pulls(self, axes)

    def plot_minima(self, axes: Any = None) -> Any:
        """Draw how far above the best minimum each start ended, and return the axes.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Raises
        ------
        ValueError
            If the fit has no table of starts.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> from matplotlib.figure import Figure
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0, restarts=2)
        >>> fit.plot_minima(Figure().subplots()).get_xlabel()
        'starts, the best first'
        """
        return plot_minima(self, axes)

    def plot_correlations(self, axes: Any = None) -> Any:
        """Draw the correlations of the parameters as a matrix, and return the axes.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Raises
        ------
        NotFittedError
            If the fit has no covariance.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> from matplotlib.figure import Figure
        >>> fit = fx.Model((1, 1), seed=1).fit([0.0, 1.0, 2.0], [1.0, 3.1, 4.9], 0.1)
        >>> [text.get_text() for text in fit.plot_correlations(Figure().subplots()).get_yticklabels()]
        ['a_L1_L2[0,0]', 'b_L1_L2[0]']
        """
        return plot_correlations(self, axes)


@quiet
class NetworkPicture(NetworkFunction):
    """A network that draws itself."""

    def draw(self, axes: Any = None) -> Any:
        """Draw the network, its units as circles and its weights as lines, and return the axes.

        A line is the thicker the larger the weight is; blue is positive, red is negative. Of layers of more than 16
        units the first are drawn.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Raises
        ------
        NotFittedError
            If widths are to be read from the data and there were none yet.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> from matplotlib.figure import Figure
        >>> axes = fx.Model((2, 3, 1), seed=1).draw(Figure().subplots())
        >>> [text.get_text() for text in axes.texts]
        ['L1: 2', 'L2: 3', 'L3: 1']
        """
        matrices = [self._backend.to_host(A) for A in self.matrices]
        return draw_network(matrices, self.input_names, self.target_names, axes)
