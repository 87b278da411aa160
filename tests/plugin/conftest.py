"""Load the plugin's rooms once: pytester forgets modules after each inner run, and C extensions cannot be loaded twice."""

from __future__ import annotations

import pytest_kimiprobe.running
import pytest_kimiprobe.simulator

LOADED = (pytest_kimiprobe.running, pytest_kimiprobe.simulator)
