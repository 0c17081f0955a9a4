"""`python -m tests.support.downloads`: download what the tests on real servers need, once.

Ends with 1 where something cannot be downloaded; the tests that need it say so again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.clickhouse_server import clickhouse_library
from tests.support.kafka_server import kafka_jars
from tests.support.stack import CACHE, StackMissingError
from tests.support.tools import COMPOSE, GRAFANA, TYPESCRIPT, npm_package, promtool, python_tool

_DOWNLOADS: dict[str, Callable[[], object]] = {
    "Kafka": kafka_jars,
    "ClickHouse": lambda: clickhouse_library(CACHE),
    "Python validators": lambda: python_tool("python"),
    "Prometheus": promtool,
    **{name: lambda name=name: npm_package(name) for name in (COMPOSE, GRAFANA, TYPESCRIPT)},
}


def main() -> int:
    """Download everything, several at once; return the exit code."""
    with ThreadPoolExecutor(4) as threads:
        started = {name: threads.submit(download) for name, download in _DOWNLOADS.items()}
    failed = False
    for name, download in started.items():
        try:
            download.result()
        except StackMissingError as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
