"""Tool calls that a host failed to parse, found in the answer's text: see `rescue`."""

from .api import RescueStream, rescue
from .result import Dropped, Rescue

__all__ = ["Dropped", "Rescue", "RescueStream", "rescue"]
