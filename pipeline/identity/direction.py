"""The direction of a communication, by which of its parties are on our own side.

This is the only definition: connectors use it for what they read from files, and the step
`identify` for events that do not state a direction. `is_own` is a method of `OwnSide`, and decides
about addresses as well as about parties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from schemas.types import Direction

T = TypeVar("T")


def direction_between(from_own: bool, to_own: bool) -> Direction:
    """Return the direction between two sides; it is inbound if neither is known to be our own.

    >>> direction_between(from_own=True, to_own=False).value
    'outbound'
    """
    if not from_own:
        return Direction.INBOUND
    return Direction.INTERNAL if to_own else Direction.OUTBOUND


def message_direction(
    sender: T | None,
    to: Sequence[T],
    cc: Sequence[T] = (),
    reply_to: Iterable[T] = (),
    *,
    is_own: Callable[[T], bool],
    default: Direction = Direction.INBOUND,
) -> Direction:
    """Return the direction of a message; `default` is that of senders who are not our own.

    - A message from our own side is outbound. It is internal if it has visible recipients and all
    of them are our own.
    - A contact form mails to ourselves in our own name, and names the writer in Reply-To: a message
    from and to our own side with a foreign Reply-To is inbound.

    >>> def is_own(address): return address.endswith("@shop.example")
    >>> message_direction("me@shop.example", ["an@example.com"], is_own=is_own).value
    'outbound'
    >>> form = "web@shop.example"
    >>> message_direction(form, [form], reply_to=["an@example.com"], is_own=is_own).value
    'inbound'
    """
    if sender is None or not is_own(sender):
        return default
    to_own = all(map(is_own, to))
    if to and to_own and not all(map(is_own, reply_to)):
        return Direction.INBOUND
    return direction_between(True, bool(to or cc) and to_own and all(map(is_own, cc)))


def possible_customers(
    direction: Direction, sender: T, to: Sequence[T], reply_to: Sequence[T]
) -> Sequence[T]:
    """Return the parties that may be the customer, the most likely one first.

    In an inbound message that is the sender, or the Reply-To of a contact form.

    >>> possible_customers(Direction.OUTBOUND, "me@shop.example", ["an@example.com"], [])
    ['an@example.com']
    """
    if direction is Direction.INTERNAL:
        return ()
    return (sender, *reply_to) if direction is Direction.INBOUND else to
