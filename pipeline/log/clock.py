"""The clock: what is read by hosts and publishers, and replaced by a fixed one in tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present instant, UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """Return the present instant in ms since the epoch."""
    return time.time_ns() // 1_000_000
