"""The picture of a fit within HTML, for notebooks."""

from __future__ import annotations

import base64
import io
import warnings

import numpy as np

from ffnn_xp._lib.optional import require
from ffnn_xp.fitting import FitRecord
from ffnn_xp.plotting.fit_pictures import plot_data

# Beyond these a picture would keep its reader waiting for more than about a second, or be larger than a screen.
MOST_VALUES, MOST_PARAMETERS, MOST_OUTPUTS_SHOWN = 10_000, 1_000, 3
WIDTH = 480  # of a picture of one output on the screen, in pixels
SHARPNESS = 1.5  # pixels of the picture for each of these: larger is sharper on fine screens, and a larger file
COLORS = 64  # more are finer shades, fewer a smaller file: a third of that of all colours


def embedded_picture(fit: FitRecord) -> str:
    """Return `FitResult.plot` as an image in HTML.

    It is empty without matplotlib, where drawing takes long, and where it fails, as by a LaTeX that is not installed: a
    result has to show its numbers whatever becomes of its picture.
    """
    outputs = fit.problem.data.n_values
    many = fit.n_data > MOST_VALUES or len(fit.parameters) > MOST_PARAMETERS or outputs > MOST_OUTPUTS_SHOWN
    if many or not fit.with_matrices:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _image(fit)
    except Exception:
        return ""


def _image(fit: FitRecord) -> str:
    """Draw into a figure that pyplot knows nothing of, so that there is nothing to close."""
    figure = require("matplotlib.figure", "plot", "plotting").Figure()
    before = figure.get_size_inches()[0]
    plot_data(fit, figure)
    figure.suptitle("")  # the page says all of it
    figure.set_dpi(SHARPNESS * WIDTH / before)
    canvas = require("matplotlib.backends.backend_agg", "plot", "plotting").FigureCanvasAgg(figure)
    canvas.draw()  # savefig would take format and margins from the style
    image = require("PIL.Image", "plot", "plotting").fromarray(np.asarray(canvas.buffer_rgba()))  # matplotlib needs it
    file = io.BytesIO()
    image.convert("RGB").quantize(COLORS).save(file, format="png", optimize=True)
    content = base64.b64encode(file.getvalue()).decode("ascii")
    width = round(image.width / SHARPNESS)
    return f'<img alt="data and fit" width="{width}" style="max-width:100%" src="data:image/png;base64,{content}">'
