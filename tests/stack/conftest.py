"""The fixtures of real servers are those of all tests; what tests of one server share stands here."""

from tests.support.servers import KEEPER_PASSWORD

__all__ = ["KEEPER_PASSWORD"]
