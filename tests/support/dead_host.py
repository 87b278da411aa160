"""An address on loopback that refuses every connection for as long as the tests run."""

from __future__ import annotations

import atexit
import socket

_HELD = socket.socket()
_HELD.bind(("127.0.0.1", 0))
"""Bound, but not listening: no other program can take the port."""
atexit.register(_HELD.close)
DEAD = f"http://127.0.0.1:{_HELD.getsockname()[1]}"
