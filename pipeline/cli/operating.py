"""Commands that operate an installation: run, worker, topics, lag, migrate, spool."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, note
from pipeline.log.port import Lag, now_ms

if TYPE_CHECKING:
    from pipeline.runtime.kafka.topic_admin import Change

topics_app = typer.Typer(no_args_is_help=True, help="Kafka's topics as the contracts declare them.")
app.add_typer(topics_app, name="topics")


@app.command()
def run(
    context: typer.Context,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when everything is caught up.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Clean, classify, converse and load what was ingested; go on with what comes, until
    stopped.
    """
    from pipeline.commands.run import run_host
    from pipeline.commands.worker import run_all

    workspace = workspace_of(context)
    if not workspace.settings.distributed:
        run_host(workspace, until_idle=until_idle, as_json=as_json)
    elif not run_all(workspace, until_idle=until_idle):
        raise SystemExit(FAILED)


@app.command()
def worker(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="enrich, converse, load, resolve or live.")],
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many workers of it to keep running.")
    ] = 1,
    child: Annotated[
        bool, typer.Option("--child", hidden=True, help="Be one worker, not the keeper of some.")
    ] = False,
) -> None:
    """Keep workers of one stage running on Kafka: one that dies is started again. SIGTERM ends them
    after the batch in hand.
    """
    from pipeline.commands.worker import run_worker, supervise

    workspace = workspace_of(context)
    if child:
        run_worker(workspace, stage)
    elif not supervise(workspace, {stage: processes}):
        raise SystemExit(FAILED)


@topics_app.command("apply")
def topics_apply(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail where something differs.")
    ] = False,
    grow: Annotated[
        bool,
        typer.Option(
            "--grow", help="Add missing partitions too; end the workers of converse first."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make Kafka's topics what the contracts declare: shows what differs, adds and sets it, never
    deletes.
    """
    from pipeline.runtime.kafka.repartition import grow as add_partitions
    from pipeline.runtime.kafka.topic_admin import TopicPlan
    from pipeline.runtime.stages import STATE_TOPICS

    workspace = workspace_of(context)
    settings, broker = workspace.settings, workspace.broker()
    plan = TopicPlan(broker, settings.partitions, settings.replication)
    changes = plan.changes()
    if as_json:
        console.json([asdict(change) for change in changes])
    elif changes:
        columns = ("topic", "what", "found", "wanted", "")
        rows = [(c.topic, c.what, c.found, c.wanted, "" if grow else _left(c)) for c in changes]
        console.table(f"{len(changes)} differences", columns, rows)
    if check:
        if changes:
            raise SystemExit(FAILED)
    else:
        plan.apply(changes)
        if grow and (moved := add_partitions(broker, changes, STATE_TOPICS, "converse")):
            note(f"{moved} states of converse moved with their keys")
    if not changes:
        note("the topics are as declared")


def _left(change: Change) -> str:
    """Return what a difference that is not applied by itself waits for."""
    from pipeline.runtime.stages import STATE_TOPICS

    if not change.manual:
        return ""
    keyed = {*STATE_TOPICS, *STATE_TOPICS.values()}
    return "add by --grow, converse ended" if change.topic in keyed else "add by --grow"


@app.command()
def migrate(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail where a migration is missing.")
    ] = False,
) -> None:
    """Bring the tables to what this program needs; safe to run again, and by several processes at
    once.
    """
    from pipeline.sinks.migrations import migrate as apply
    from pipeline.sinks.migrations import missing

    workspace = workspace_of(context)
    if not workspace.settings.distributed:
        # The embedded store is migrated by whoever opens it.
        with workspace.reading():
            note("the embedded store is as this program needs it")
        return
    server = workspace.server()
    try:
        names = [migration.name for migration in (missing(server) if check else apply(server))]
    finally:
        server.close()
    for name in names:
        note(f"{name}: {'missing' if check else 'applied'}")
    if not names:
        note("nothing is missing" if check else "nothing to do")
    elif check:
        raise SystemExit(FAILED)


@app.command()
def lag(context: typer.Context, as_json: Json = False) -> None:
    """Show how far each stage is behind on each topic: in records, and in seconds since the oldest
    unread one was written.
    """
    from pipeline.commands.reconciliation import lags

    with workspace_of(context).log() as log:
        found = lags(log, now_ms())
    if as_json:
        console.json([asdict(one) for one in found])
        return
    _show_lags(found)


def _show_lags(found: list[Lag]) -> None:
    columns = ("stage", "topic", "behind", "seconds behind")
    rows = [(one.group, one.topic, one.records, f"{one.seconds:.1f}") for one in found]
    console.table("Lag", columns, rows, numbers=columns[2:])


@app.command()
def spool(context: typer.Context) -> None:
    """Send what waits in the data folder since Kafka was not to be reached; fails where something
    still waits.
    """
    from pipeline.runtime.kafka.kafka_log import KafkaLog

    workspace = workspace_of(context)
    log = KafkaLog(workspace.broker(), workspace.root, workspace.settings.spool_bytes)
    try:
        before, _ = log.waiting()
        drained = log.drain()
        left, _ = log.waiting()
        note(f"{before - left} messages sent, {left} wait")
    finally:
        log.close()
    if not drained:
        raise SystemExit(FAILED)
