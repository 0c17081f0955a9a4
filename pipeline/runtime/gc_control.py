"""When Python looks for cycles: between batches, when little is alive, not again and again while
thousands of records are in hand.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Batches between two looks at everything that outlived one; the young are looked at after each.
_FULL_EVERY = 100
_YOUNG, _ALL = 1, 2


@contextmanager
def collected_between_batches() -> Iterator[Callable[[], None]]:
    """Give the call that a host makes after each batch; the collector is off meanwhile, and
    everything made before is left out.

    Left on, it walks over a batch's records once more for every few hundred made: a third of what
    it costs to copy a record (docs/adr/0011). It is the process's one collector, so this is for
    processes that run one host.
    """
    done = 0

    def collect() -> None:
        nonlocal done
        done += 1
        gc.collect(_YOUNG if done % _FULL_EVERY else _ALL)

    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield collect
    finally:
        gc.enable()
        gc.unfreeze()
