"""The baseline: a bare confluent-kafka loop, exactly once, 20,000 records a transaction.

It copies key and headers. With the step `enrich` it also creates the log records that the step
needs as input.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.peers.common import TRANSACTION, Job, StartNote, job, log_record, recode, step_of


def run(job_: Job) -> None:
    """Consume, run the step, produce and commit a transaction per batch, until killed."""
    handle = step_of(job_)
    start = StartNote(job_.started_file)
    address = {"bootstrap.servers": job_.broker}
    group = {"group.id": job_.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**job_.reading(), **address, **group})
    producer = Producer({**job_.writing(), **address, "transactional.id": f"{job_.group}-bare"})
    producer.init_transactions()
    consumer.subscribe([job_.source])
    target, noop = job_.target, job_.step == "noop"
    produce: Any = producer.produce
    while True:
        batch: list[Any] = consumer.consume(TRANSACTION, 0.5)
        if not batch:
            continue
        start.note()
        producer.begin_transaction()
        ends: dict[int, int] = {}
        for message in batch:
            if message.error():
                raise RuntimeError(str(message.error()))
            ends[message.partition()] = message.offset() + 1
            if noop:
                produce(target, recode(message.value()), message.key(), headers=message.headers())
        if not noop:
            for out in handle([log_record(message) for message in batch]):
                produce(target, out.value, out.key, headers=list(out.headers))
        offsets = [TopicPartition(job_.source, partition, end) for partition, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    run(job())
