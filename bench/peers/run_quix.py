"""Quix Streams, at least once: its data frame and JSON serializers, a checkpoint a second.

At least once is its default and faster. It has no batch interface, so the enrich step gets one
record at a time.
"""

# Its library is in an environment of its own, where no type checker looks.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from typing import Any

from quixstreams import Application, message_context
from quixstreams.models.serializers import Serializer

from bench.peers.common import COMMIT_SECONDS, Job, StartNote, headers_of, job, step_of
from pipeline.log.port import LogRecord, Message


class MessageValue(Serializer):
    """Serializes the value of a message."""

    def __call__(self, value: Message, ctx: Any) -> bytes:
        return value.value


def application(job_: Job, guarantee: str = "at-least-once") -> Application:
    """Return the application: Kafka, the step, Kafka."""
    interval = {"commit_interval": COMMIT_SECONDS} if job_.tuned else {}
    app = Application(
        job_.broker,
        consumer_group=job_.group,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        consumer_extra_config=job_.reading(),
        producer_extra_config=job_.writing(),
        state_dir=job_.folder / "state",
        loglevel="WARNING",
        auto_create_topics=False,
        use_changelog_topics=False,
        **interval,
    )
    start = StartNote(job_.started_file)
    if job_.step == "noop":
        _noop(app, job_, start)
    else:
        _enrich(app, job_, start)
    return app


def _noop(app: Application, job_: Job, start: StartNote) -> None:
    source = app.topic(job_.source, key_deserializer="bytes", value_deserializer="json")
    target = app.topic(job_.target, key_serializer="bytes", value_serializer="json")

    def note(_: Any) -> None:
        start.note()

    app.dataframe(source).update(note).to_topic(target)


def _enrich(app: Application, job_: Job, start: StartNote) -> None:
    handle = step_of(job_)
    source = app.topic(job_.source, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(job_.target, key_serializer="bytes", value_serializer=MessageValue())

    def enrich(value: bytes, key: bytes, timestamp: int, headers: Any) -> list[Message]:
        start.note()
        at = message_context()
        return handle(
            [
                LogRecord(
                    at.topic, at.partition, at.offset, timestamp, key, value, headers_of(headers)
                )
            ]
        )

    def headers_of_output(value: Message, *_: Any) -> list[tuple[str, bytes]]:
        return list(value.headers)

    frame = app.dataframe(source).apply(enrich, expand=True, metadata=True)
    frame.set_headers(headers_of_output).to_topic(target, key=lambda message: message.key)


if __name__ == "__main__":
    application(job()).run()
