"""What contract tests share: a function that makes an empty installation of each engine."""

from collections.abc import Iterator

import pytest

from tests.support.installations import Distributed, Embedded, Installation, Make


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.stack)])
def make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Make]:
    """Return a function that makes an empty installation of the engine under test."""
    if request.param == "embedded":
        yield lambda **settings: Embedded(tmp_path_factory.mktemp("embedded"), **settings)
        return
    kafka, clickhouse = request.getfixturevalue("kafka"), request.getfixturevalue("clickhouse")

    def distributed(**settings: object) -> Installation:
        kafka.wipe()
        folder = tmp_path_factory.mktemp("kafka-data")
        return Distributed(
            folder,
            kafka.broker,
            clickhouse.url_for(database=folder.name.replace("-", "_")),
            **settings,
        )

    yield distributed
