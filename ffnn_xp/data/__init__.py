"""The data of a fit: read, checked and moved to the device, in raw and in standardised units.

- `measurements`: the arrays of the user, by name and unchecked; every entry point makes them.
- `reading`: `read`, the one reader, from measurements to checked data and their statistic.
- `selection`, `targets`: its parts: the events to use, and the values that each statistic allows.
- `uhi`, `histograms`: histograms of any library as bins with contents.
- `tables`, `records`: columns with names, of any library's tables and records.
- `root`: trees of ROOT files.
- `points`, `bins`, `errors_in_x`: kinds of x; register a new one with `points_of`.
- `validation`, `whitening`: rules for the values of arrays, and for covariances of y.
- `statistic`: the statistic that belongs to the measurements.
- `dataset`, `events`: the data as columns on the device, in raw units and as an objective takes them.
- `standardization`: the map between raw and standardised units.
- `streaming`: a model in double precision, with data in main memory where they do not fit on its device.
"""

from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.events import Events
from ffnn_xp.data.histograms import measurements_of
from ffnn_xp.data.measurements import Measurements, refuse
from ffnn_xp.data.points import Points, points_of
from ffnn_xp.data.reading import CheckedData, input_rows, read
from ffnn_xp.data.root import opened_tree, read_tree, split_root
from ffnn_xp.data.selection import events_in_use
from ffnn_xp.data.standardization import Moments, Scaling, has_centred_argument, moments_of, scaling_of
from ffnn_xp.data.streaming import (
    ModelOnBackend,
    host_resident_if_needed,
    in_double_precision,
    model_for_fit,
)
from ffnn_xp.data.tables import in_order, names_of_columns
from ffnn_xp.data.targets import check_sets
from ffnn_xp.data.uhi import is_histogram

__all__ = [
    "Bins",
    "CheckedData",
    "Dataset",
    "Events",
    "Measurements",
    "ModelOnBackend",
    "Moments",
    "Points",
    "Scaling",
    "check_sets",
    "events_in_use",
    "has_centred_argument",
    "host_resident_if_needed",
    "in_double_precision",
    "in_order",
    "input_rows",
    "is_histogram",
    "measurements_of",
    "model_for_fit",
    "moments_of",
    "names_of_columns",
    "opened_tree",
    "points_of",
    "read",
    "read_tree",
    "refuse",
    "scaling_of",
    "split_root",
]
