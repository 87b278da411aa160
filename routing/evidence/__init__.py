"""Evidence: the committed test results that a router reads, from a file or from a URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import EvidenceError
from ..redaction import shown_url
from ..types import LOOPBACK
from .file_source import EvidenceFile, EvidenceStatus

if TYPE_CHECKING:
    from ..transport import Transport
    from ..transport.event_loop import LoopThread
    from .url_source import EvidenceUrl

__all__ = ["EvidenceStatus", "evidence_source"]


def evidence_source(place: str, http: Callable[[], tuple[LoopThread, Transport]]) -> EvidenceFile | EvidenceUrl:
    """The evidence source for a path or an https URL; one without evidence if `place` is empty.

    Plain http is accepted for this machine only. Raises EvidenceError for any other URL.
    """
    if "://" not in place:
        return EvidenceFile(Path(place) if place else None)
    try:
        scheme, host, _ = urlsplit(place).scheme, urlsplit(place).hostname, urlsplit(place).port
    except ValueError:  # such as a port that is not a number
        scheme = host = ""
    if scheme != "https" and (scheme != "http" or host not in LOOPBACK):
        raise EvidenceError("evidence: a path or an https URL is needed", where=shown_url(place))
    from .url_source import EvidenceUrl

    return EvidenceUrl(place, http)
