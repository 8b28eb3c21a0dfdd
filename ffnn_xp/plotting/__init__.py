"""Pictures, with matplotlib.

- `fit_pictures`: a fit with its own data, for each statistic; its pulls, minima and correlations.
- `embedded`: the picture of a fit within HTML.
- `network_picture`: the units and weights of a network.
- `panels`: the parts of which these are made.
"""

from ffnn_xp.plotting.embedded import embedded_picture
from ffnn_xp.plotting.fit_pictures import plot_correlations, plot_data, plot_minima, plot_pulls
from ffnn_xp.plotting.network_picture import draw_network

__all__ = ["draw_network", "embedded_picture", "plot_correlations", "plot_data", "plot_minima", "plot_pulls"]
