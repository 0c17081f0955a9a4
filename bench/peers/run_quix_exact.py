"""Quix Streams as in run_quix, with its exactly-once guarantee: what it costs where the guarantees
are the same.
"""

from __future__ import annotations

from bench.peers.common import job
from bench.peers.run_quix import application

if __name__ == "__main__":
    application(job(), "exactly-once").run()
