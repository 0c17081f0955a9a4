"""Finds partitions that a group has left to nobody since one of its members was killed.

In a cooperative rebalance a member that has to give partitions up joins once more, and only then
does the group assign them to others. If its process ends before that, its successor is the same
static member: it is given the rest without a rebalance, and nobody reads those partitions
(docs/adr/0011). A member with a new id makes the group assign all partitions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.log.port import TopicPartition
from pipeline.runtime.kafka.broker import Broker, BrokerError
from pipeline.runtime.kafka.group_members import unassigned_partitions

logger = logging.getLogger(__name__)

# A member that lives gives partitions up when its batch is committed, usually within a second.
_GIVE_UP_S = 10.0
# Each time it is a small request, and one a topic.
_EVERY_S = 1.0
_NEVER = float("inf")


@dataclass
class GroupCheck:
    """The check of a worker's group after its start, until each partition has a member.

    `clock` returns monotonic seconds.
    """

    broker: Broker
    group: str
    topics: Sequence[str]
    clock: Callable[[], float] = time.monotonic
    _next_at: float = 0.0
    _unassigned_since: float = _NEVER

    def abandoned(self) -> set[TopicPartition]:
        """Return partitions that nobody has had for too long, once; usually none.

        It asks the coordinator once a second at most, and no more when each partition has a member.
        """
        now = self.clock()
        if now < self._next_at:
            return set()
        self._next_at = now + _EVERY_S
        try:
            unassigned = unassigned_partitions(self.broker, self.group, self.topics)
        except BrokerError as error:
            logger.info("The group of %s cannot be checked yet: %s", self.group, error)
            return set()
        if unassigned is None:
            # The group rebalances.
            self._unassigned_since = _NEVER
        elif unassigned and now < self._unassigned_since + _GIVE_UP_S:
            self._unassigned_since = min(self._unassigned_since, now)
        else:
            self._next_at = _NEVER
            return unassigned
        return set()
