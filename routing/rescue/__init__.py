"""Tool calls that a host failed to parse, found in the answer's text: see `rescue`."""

from .found import Dropped, Rescue
from .stream import RescueStream, rescue

__all__ = ["Dropped", "Rescue", "RescueStream", "rescue"]
