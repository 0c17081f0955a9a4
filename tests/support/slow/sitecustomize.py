"""On a worker's path: `enrich` is slower than what comes in, as behind a slow disk or on a machine
that others use.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pipeline.log.port import LogRecord, Message
from pipeline.runtime.runner import StepHandler

# A batch of some hundred records then takes many times as long as a scrape.
_RECORD_S = 0.02

_handle = StepHandler.handle


def _handled(self: StepHandler[Any], records: Sequence[LogRecord]) -> list[Message]:
    if self.name == "enrich":
        time.sleep(_RECORD_S * len(records))
    return _handle(self, records)


StepHandler.handle = _handled  # type: ignore[method-assign]
