"""Quix Streams as in run_quix, exactly once: the cost with the same guarantee as ours."""

from __future__ import annotations

from bench.peers.common import job
from bench.peers.run_quix import application

if __name__ == "__main__":
    application(job(), "exactly-once").run()
