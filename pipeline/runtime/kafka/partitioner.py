"""The partitioner of Java, aiokafka and, as `murmur2_random`, librdkafka.

https://github.com/apache/kafka/blob/4.1/clients/src/main/java/org/apache/kafka/common/utils/Utils.java
(murmur2, toPositive)
"""

from __future__ import annotations

_WORD = 0xFFFFFFFF
_SEED, _MULTIPLIER = 0x9747B28C, 0x5BD1E995
_POSITIVE = 0x7FFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of bytes, with Kafka's seed.

    >>> murmur2(b"abc")
    479470107
    """
    whole = len(data) & ~3
    digest = _SEED ^ len(data)
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _WORD
        part = (part ^ part >> 24) * _MULTIPLIER & _WORD
        digest = (digest * _MULTIPLIER & _WORD) ^ part
    if len(data) > whole:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _WORD
    digest = (digest ^ digest >> 13) * _MULTIPLIER & _WORD
    return digest ^ digest >> 15


def key_partition(key: bytes, partitions: int) -> int:
    """Return the partition of a key on a topic with so many partitions.

    >>> key_partition(b"abc", 6)
    3
    """
    return (murmur2(key) & _POSITIVE) % partitions
