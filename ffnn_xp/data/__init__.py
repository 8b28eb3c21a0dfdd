"""From what users hold to checked data on the device, in raw and in standardised units."""

from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.events import Events
from ffnn_xp.data.measurements import Measurements, refuse
from ffnn_xp.data.points import Points, points_of
from ffnn_xp.data.reading import CheckedData, events_in_use, input_rows, read
from ffnn_xp.data.standardization import Scaling, scaling_of
from ffnn_xp.data.streaming import ModelOnBackend, host_resident_if_needed, model_for_fit

__all__ = [
    "Bins",
    "CheckedData",
    "Dataset",
    "Events",
    "Measurements",
    "ModelOnBackend",
    "Points",
    "Scaling",
    "events_in_use",
    "host_resident_if_needed",
    "input_rows",
    "model_for_fit",
    "points_of",
    "read",
    "refuse",
    "scaling_of",
]
