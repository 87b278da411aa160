"""A connected socket to a host that may have several addresses, of which some may be mute (RFC 8305).

asyncio has this too (`happy_eyeballs_delay`), but in Python 3.11 a connect that is cancelled leaves sockets open there: the
attempts are not waited for, and one that won meanwhile is dropped.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

_NEXT_S = 0.25
"""After which the next address is tried beside those that have not answered."""
_Address: TypeAlias = tuple[Any, Any, int, str, Any]


async def connected(host: str, port: int) -> socket.socket:
    """The first that answers; no other stays open.

    Raises OSError where no address answers, an ExceptionGroup of them where several failed, UnicodeError for what
    cannot be a name.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(await _addresses(loop, host, port))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[Exception] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_attempt(loop, waiting.popleft())))
            patience_s = _NEXT_S if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                attempts.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                failures.append(error if isinstance(error, Exception) else OSError(str(error)))
        raise failures[0] if len(failures) == 1 else ExceptionGroup("no address answers", failures)
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_discard)


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_Address]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # nothing to ask anybody


async def _attempt(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
