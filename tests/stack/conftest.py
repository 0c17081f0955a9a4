"""The fixtures of real servers are those of all tests; what tests of one server share stands here."""

from tests.e2e.conftest import switchboard
from tests.support.servers import KEEPER_PASSWORD

__all__ = ["KEEPER_PASSWORD", "switchboard"]
