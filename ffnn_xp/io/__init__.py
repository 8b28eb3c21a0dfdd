"""Files of networks: numbers in the safetensors format behind a JSON header, nothing that a file could execute.

`save_state` writes a `NetworkState` and `load_state` reads one; `Model.save` and `Model.load` use them.
"""

from ffnn_xp.io.files import load_state, read_header, save_state
from ffnn_xp.io.header import Header
from ffnn_xp.io.state import NetworkState

__all__ = ["Header", "NetworkState", "load_state", "read_header", "save_state"]
