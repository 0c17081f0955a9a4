"""Runs Python's cyclic garbage collector between batches instead of within them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Full collections are rare; young objects are collected after each batch.
_FULL_EVERY = 100
_YOUNG, _ALL = 1, 2


@contextmanager
def gc_between_batches() -> Iterator[Callable[[], None]]:
    """Switch automatic collection off and yield the function to call after each batch.

    Objects created before are excluded. Automatic collection would walk over all records of a batch
    for every few hundred new ones: a third of the cost of copying a record (docs/adr/0011). A
    process has one collector, so this is for processes that run one host.
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
