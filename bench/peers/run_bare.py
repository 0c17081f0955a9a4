"""The bare loop to measure against: confluent-kafka alone, 20,000 records a transaction, key and
headers copied. Exactly once.

With the step `enrich` it also makes the records that the step takes, for there is no other way to
call it.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.peers.common import TRANSACTION, Beginning, Job, job, log_record, recode, step_of


def run(job_: Job) -> None:
    """Read, run the step, produce and commit in one transaction a batch, until the process is
    ended.
    """
    handle = step_of(job_)
    beginning = Beginning(job_.begun)
    place = {"bootstrap.servers": job_.broker}
    group = {"group.id": job_.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**job_.reading(), **place, **group})
    producer = Producer({**job_.writing(), **place, "transactional.id": f"{job_.group}-bare"})
    producer.init_transactions()
    consumer.subscribe([job_.source])
    target, noop = job_.target, job_.step == "noop"
    produce: Any = producer.produce
    while True:
        batch: list[Any] = consumer.consume(TRANSACTION, 0.5)
        if not batch:
            continue
        beginning.note()
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
