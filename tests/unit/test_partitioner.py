"""Keys lie where every Kafka client puts them."""

import pytest

from pipeline.runtime.kafka.partitioner import home_of, murmur2


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        # The vectors of Kafka's own UtilsTest.testMurmur2, as Java prints them: signed.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_tests(key: bytes, wanted: int) -> None:
    assert murmur2(key) == wanted & 0xFFFFFFFF
    assert home_of(key, 7) == (wanted & 0x7FFFFFFF) % 7
