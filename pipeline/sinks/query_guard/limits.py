"""The limits of a question that a person asks; the program's own queries have none."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.sinks.warehouse import WarehouseError

_NARROWER = "ask for a shorter period or fewer columns, or raise"
# ClickHouse's error numbers of limits, and what was too much.
_TIME, _MEMORY, _RESULT = (159, 160), (241,), (158, 396)


@dataclass(frozen=True)
class QuestionLimits:
    """Seconds of work, bytes of memory, rows and bytes of a result."""

    seconds: int
    memory_bytes: int
    rows: int
    bytes: int

    def settings(self) -> dict[str, int]:
        """Return ClickHouse's settings.

        >>> QuestionLimits(60, 1, 2, 3).settings()["max_execution_time"]
        60
        """
        return {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_result_rows": self.rows,
            "max_result_bytes": self.bytes,
        }

    def explained(self, error: WarehouseError) -> WarehouseError:
        """Return an error that names the limit, or the error itself if it is about none."""
        if error.code in _TIME:
            return QuestionLimitError(
                f"the question took longer than {self.seconds} s: {_NARROWER} question_seconds",
                error.code,
            )
        if error.code in _MEMORY:
            return QuestionLimitError(
                f"the question needs more memory than {self.memory_bytes:,} bytes: {_NARROWER}"
                " question_memory_bytes",
                error.code,
            )
        if error.code in _RESULT:
            return QuestionLimitError(
                f"the result has more than {self.rows:,} rows or {self.bytes:,} bytes: add LIMIT,"
                f" {_NARROWER} question_rows or question_bytes",
                error.code,
            )
        return error


class QuestionLimitError(WarehouseError):
    """A question goes over one of its limits; the message names the setting."""
