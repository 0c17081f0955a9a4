"""The command `switchboard`: one module per command, named after it."""

from __future__ import annotations

from pipeline.cli import (
    backup,
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
from pipeline.cli.console import STORE_IN_USE, WRONG_USE, fail
from pipeline.errors import UsageError, UserError
from pipeline.sinks.warehouse import StoreInUseError

__all__ = [
    "app",
    "backup",
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
        app()
    except StoreInUseError as error:
        fail(str(error), STORE_IN_USE)
    except UsageError as error:
        fail(str(error), WRONG_USE)
    except (UserError, OSError) as error:
        fail(str(error))
