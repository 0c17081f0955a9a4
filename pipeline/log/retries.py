"""Retries and polling with limits; the only module that uses tenacity.

Each caller says why its limit is what it is. Loops that must do something else while they wait,
such as polling a consumer to stay in its group, stay with their owner and say so.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, stop_after_attempt, stop_after_delay, stop_any
from tenacity.retry import retry_if_exception, retry_if_result

T = TypeVar("T")

# The back-off doubles from a tenth of a second: a server that is overloaded for a moment is retried
# at once, one that is down rarely.
_FIRST_WAIT_S, _MAX_WAIT_S = 0.1, 10.0


def backoff_s(attempt: int) -> float:
    """Return the seconds to wait after a failed attempt, counted from 1, with jitter of a half.

    >>> 0.05 <= backoff_s(1) <= 0.15 and 5.0 <= backoff_s(100) <= 15.0
    True
    """
    # A power of two that is large enough for the maximum: 0.1 s * 2^7 is more than 10 s.
    doubled: float = _FIRST_WAIT_S * 2 ** min(attempt - 1, 7)
    return min(doubled, _MAX_WAIT_S) * random.uniform(0.5, 1.5)


def retry_call(
    call: Callable[[], T],
    *,
    retry_if: Callable[[BaseException], bool],
    on_retry: Callable[[BaseException, float], object],
    wait_s: Callable[[int], float] = lambda _: 0.1,
    limit_s: float = math.inf,
    attempts: int = sys.maxsize,
) -> T:
    """Return what a call returns; retry it after exceptions that `retry_if` accepts.

    The last exception is raised after `limit_s` seconds or `attempts` tries. `wait_s` maps the
    number of failed attempts to the wait before the next one; `on_retry` gets the exception and
    this wait.

    >>> answers = iter([KeyError("busy"), "done"])
    >>> def ask():
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> retry_call(
    ...     ask,
    ...     retry_if=lambda error: isinstance(error, KeyError),
    ...     on_retry=lambda error, wait: None,
    ...     wait_s=lambda _: 0,
    ...     attempts=2,
    ... )
    'done'
    """

    def before_sleep(state: RetryCallState) -> None:
        error = None if state.outcome is None else state.outcome.exception()
        assert error is not None
        on_retry(error, state.upcoming_sleep)

    return Retrying(
        stop=stop_any(stop_after_delay(limit_s), stop_after_attempt(attempts)),
        wait=lambda state: wait_s(state.attempt_number),
        retry=retry_if_exception(retry_if),
        before_sleep=before_sleep,
        reraise=True,
    )(call)


def poll_until(poll: Callable[[], T], *, limit_s: float, wait_s: float = 0.0) -> T | None:
    """Call a function until it returns a value; return None if it does not within `limit_s`.

    `wait_s` is the wait between two calls, 0 for a function that waits itself.

    >>> answers = iter([None, None, 7])
    >>> poll_until(lambda: next(answers), limit_s=1.0)
    7
    """
    return Retrying(
        stop=stop_after_delay(limit_s),
        wait=lambda _: wait_s,
        retry=retry_if_result(lambda value: value is None),
        retry_error_callback=lambda _: None,
    )(poll)
