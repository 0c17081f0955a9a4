"""On a worker's path: `enrich` crashes on one text, as by a segmentation fault in a library."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

from pipeline.log.port import LogRecord, Message
from pipeline.runtime.runner import StepHandler

_handle = StepHandler.handle


def _crashing_handle(self: StepHandler[Any], records: Sequence[LogRecord]) -> list[Message]:
    if self.name == "enrich" and any(b"KILLS-THE-PROCESS" in record.value for record in records):
        os.kill(os.getpid(), signal.SIGKILL)
    return _handle(self, records)


StepHandler.handle = _crashing_handle  # type: ignore[method-assign]
