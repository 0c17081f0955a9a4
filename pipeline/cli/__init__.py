"""The command `switchboard`: one module per command, named after it."""

from __future__ import annotations

import sqlite3

from pipeline.cli import (
    backup,
    check,
    demo,
    dlq,
    evaluate,
    explain,
    followups,
    history,
    ingest,
    labels,
    lag,
    live,
    migrate,
    models,
    outcomes,
    query,
    reclassify,
    replay,
    report,
    restore,
    review,
    run,
    schemas,
    spool,
    status,
    topics,
    trace,
    worker,
)
from pipeline.cli.app import app
from pipeline.cli.console import FAILED, STORE_IN_USE, WRONG_USE, fail, flush_streams
from pipeline.errors import UsageError, UserError, describe_machine_error
from pipeline.sinks.warehouse import StoreInUseError

__all__ = [
    "app",
    "backup",
    "check",
    "demo",
    "dlq",
    "evaluate",
    "explain",
    "followups",
    "history",
    "ingest",
    "labels",
    "lag",
    "live",
    "main",
    "migrate",
    "models",
    "outcomes",
    "query",
    "reclassify",
    "replay",
    "report",
    "restore",
    "review",
    "run",
    "schemas",
    "spool",
    "status",
    "topics",
    "trace",
    "worker",
]


def main() -> None:
    """Run the command line; errors that a person can repair are printed without a traceback."""
    try:
        try:
            app()
        finally:
            flush_streams()
    except BrokenPipeError:
        # Whoever reads the output has what it wanted, as `head` has.
        raise SystemExit(FAILED) from None
    except StoreInUseError as error:
        fail(str(error), STORE_IN_USE)
    except UsageError as error:
        fail(str(error), WRONG_USE)
    except UserError as error:
        fail(str(error))
    except (OSError, sqlite3.Error) as error:
        fail(describe_machine_error(error))
