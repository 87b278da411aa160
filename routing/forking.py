"""What a forked child does with inherited objects: it makes new locks, and neither uses nor closes connections.

In a child, only the thread that forked is running. A lock that another thread held stays locked for ever, and an event
loop has no thread. An inherited loop also shares its `epoll` with the parent. Closing it, or removing a socket from it,
would take the parent's sockets out of it.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod

_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_abandoned: list[object] = []


class ForkAware(ABC):
    """Base of objects with locks, threads or connections, which must be replaced in a forked child."""

    def __init__(self) -> None:
        _aware.add(self)

    def before_fork(self) -> None:  # noqa: B027 - most objects have nothing to do
        """Called in the parent before it forks."""

    @abstractmethod
    def after_fork(self) -> None:
        """Called in the child: replace locks, and `abandon` what belongs to the parent."""


def abandon(*inherited: object) -> None:
    """Keep inherited objects for ever, because the garbage collector would close the connections that they hold."""
    _abandoned.extend(inherited)


def _before() -> None:
    for each in list(_aware):
        each.before_fork()


def _after() -> None:
    for each in list(_aware):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_after)
