"""Files of networks: numbers in the safetensors format after a JSON header, nothing that a file could execute.

- `files`: `save_state` and `load_state`, which `Model.save` and `Model.load` use; the description of the format.
- `state`: `NetworkState`, the content of a file.
- `header`, `tensors`: the two parts of a file, and their checks.
"""

from ffnn_xp.io.files import load_state, read_header, save_state
from ffnn_xp.io.header import Header
from ffnn_xp.io.state import NetworkState

__all__ = ["Header", "NetworkState", "load_state", "read_header", "save_state"]
