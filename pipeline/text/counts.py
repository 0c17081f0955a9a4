"""Numbers of things, in words for people."""

from __future__ import annotations


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun; the plural ends in s unless another is named.

    >>> count_of(1, "follow-up"), count_of(1200, "record"), count_of(0, "reply", "replies")
    ('1 follow-up', '1,200 records', '0 replies')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
