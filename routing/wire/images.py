"""Converts OpenAI's image URLs into Anthropic's image blocks. Pure: no image is fetched."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes, urlsplit

from ..errors import RequestRejected
from ..types import JsonObject

_TAKEN = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SAME = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def image_block(url: str) -> JsonObject:
    """Anthropic's block for an image. Raises RequestRejected (`image_refused`) with what is wrong with the image."""
    if url[:5].lower() == "data:":
        return {"type": "image", "source": _inline(url[5:])}
    if not _is_https(url):
        raise _refused("an image's URL must begin with https:// or data:")
    return {"type": "image", "source": {"type": "url", "url": url}}


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # for example an unclosed bracket
        return False
    return parts.scheme.lower() == "https" and bool(parts.hostname)


def _inline(rest: str) -> JsonObject:
    head, comma, payload = rest.partition(",")
    if not comma:
        raise _refused("a data URL without data")
    media, *options = (part.strip().lower() for part in head.split(";"))
    encoded = "base64" in options
    data = _decoded(payload) if encoded else unquote_to_bytes(payload)
    # The bytes decide the media type, because Anthropic refuses an image with a wrong label.
    media = _seen(data) or _SAME.get(media, media)
    if media not in _TAKEN:
        raise _refused(f"images are taken as {', '.join(_TAKEN)}, not as {media[:40] or 'an unnamed type'}")
    if not data:
        raise _refused("an image without data")
    return {"type": "base64", "media_type": media, "data": base64.b64encode(data).decode()}


def _decoded(payload: str) -> bytes:
    raw = b"".join(unquote_to_bytes(payload).split()).translate(_URL_SAFE).rstrip(b"=")
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _refused("an image's data is not base64") from None


def _seen(data: bytes) -> str:
    """The media type that the first bytes show; empty if it is none of the accepted types."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _refused(why: str) -> RequestRejected:
    return RequestRejected("image_refused", why, phase="send")
