"""On a worker's path: `enrich` is slower than its input, as on a slow disk or a busy machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pipeline.log.port import LogRecord, Message
from pipeline.runtime.runner import StepHandler

# A batch of some hundred records takes many times as long as a scrape interval.
_RECORD_S = 0.02

_handle = StepHandler.handle


def _slow_handle(self: StepHandler[Any], records: Sequence[LogRecord]) -> list[Message]:
    if self.name == "enrich":
        time.sleep(_RECORD_S * len(records))
    return _handle(self, records)


StepHandler.handle = _slow_handle  # type: ignore[method-assign]
