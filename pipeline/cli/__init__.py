"""The command `switchboard`: what people do with an installation."""

from __future__ import annotations

from pipeline.cli import (
    asking,
    dlq,
    evaluate,
    feeding,
    judging,
    keeping,
    live,
    modelling,
    operating,
    status,
)
from pipeline.cli.app import app
from pipeline.cli.console import HELD, fail
from pipeline.errors import UserError
from pipeline.sinks.warehouse import StoreHeldError

__all__ = [
    "app",
    "asking",
    "dlq",
    "evaluate",
    "feeding",
    "judging",
    "keeping",
    "main",
    "modelling",
    "operating",
    "status",
    "live",
]


def main() -> None:
    """Run the command line; what a person can mend ends with one line that says how, not with a
    traceback.
    """
    try:
        app()
    except StoreHeldError as error:
        fail(str(error), HELD)
    except (UserError, OSError) as error:
        fail(str(error))
