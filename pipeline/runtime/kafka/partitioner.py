"""Where a key lies: the partitioner of Java, aiokafka and, as `murmur2_random`, librdkafka.

https://github.com/apache/kafka/blob/4.1/clients/src/main/java/org/apache/kafka/common/utils/Utils.java
(murmur2, toPositive)
"""

from __future__ import annotations

_WORD = 0xFFFFFFFF
_SEED, _MULTIPLIER = 0x9747B28C, 0x5BD1E995
_POSITIVE = 0x7FFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of bytes, as Kafka seeds it."""
    whole = len(data) & ~3
    found = _SEED ^ len(data)
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _WORD
        part = (part ^ part >> 24) * _MULTIPLIER & _WORD
        found = (found * _MULTIPLIER & _WORD) ^ part
    if len(data) > whole:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _WORD
    found = (found ^ found >> 13) * _MULTIPLIER & _WORD
    return found ^ found >> 15


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition on which a key lies among so many."""
    return (murmur2(key) & _POSITIVE) % partitions
