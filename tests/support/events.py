"""Makes many different events of all kinds from a seed, for tests and benchmarks."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

_WORDS = (
    "我想了解一下这款茶壶的价格",
    "什么时候发货？已经等了三天了",
    "Could you tell me the price of the travel kettle?",
    "The lid is cracked, I want my money back.",
    "很满意，下次还会再来",
    "Thanks, that solved it!",
    "发票还没有收到，麻烦再发一次",
    "How do I descale the kettle?",
)
_ATTRIBUTION = "On Mon, 3 Aug 2026, Shop <a@shop.example.com> wrote:"
_START = datetime(2026, 8, 1, tzinfo=UTC)
_STEP = timedelta(minutes=1)
# All events lie in the past, and so does the week of silence after which a conversation counts as
# closed. An event of the future would be dated by its arrival, which differs from run to run.
_SPAN = timedelta(days=60)


def make_events(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield events of all kinds by some count/20 customers, at most a minute apart."""
    random_ = random.Random(seed)
    customers = max(count // 20, 3)
    step = min(_STEP, _SPAN / count)
    for number in range(count):
        at = _START + number * step
        person = random_.randrange(customers)
        kind, data = random_.choices(
            (_message, _mail, _call, _order, _feedback, _complaint), weights=(50, 15, 10, 15, 5, 5)
        )[0](random_, number, person, at)
        yield {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "test/shop",
            "type": kind,
            "time": at.isoformat(),
            "data": data,
        }


def _party(random_: random.Random, person: int) -> dict[str, str]:
    points = {
        "phone": f"+86138{person:08d}",
        "email": f"customer{person}@example.com",
        "id": f"C-{person}",
    }
    chosen = random_.sample(sorted(points), random_.choice((1, 1, 1, 2)))
    return {"name": f"顾客{person}"} | {name: points[name] for name in chosen}


def _message(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    text = f"{random_.choice(_WORDS)} #{number}"
    return "comm.message.received", {
        "channel": random_.choice(("chat", "sms", "social")),
        "conversation": f"c{person}",
        "from": _party(random_, person),
        "text": text,
        "received_at": at.isoformat(),
    }


def _mail(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    quoted = "> " + random_.choice(_WORDS)
    return "comm.message.received", {
        "channel": "email",
        "from": {"email": f"customer{person}@example.com"},
        "subject": f"Re: order {number}",
        "message_id": f"m{number}@example.com",
        "text": (
            f"{random_.choice(_WORDS)}\n\nBest regards\nCustomer"
            f" {person}\n\n{_ATTRIBUTION}\n{quoted}\n"
        ),
        "received_at": at.isoformat(),
    }


def _call(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    answered = random_.random() < 0.7
    data: dict[str, Any] = {
        "channel": "call",
        "from": {"phone": f"+86138{person:08d}"},
        "started_at": at.isoformat(),
        "ended_at": (at + timedelta(seconds=90)).isoformat(),
        "disposition": "answered" if answered else "no_answer",
        "remarks": random_.choice(_WORDS),
        "received_at": at.isoformat(),
    }
    if answered:
        data["answered_at"] = (at + timedelta(seconds=random_.randrange(1, 30))).isoformat()
    return ("comm.call.completed" if answered else "comm.call.missed"), data


def _order(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    return f"crm.order.{random_.choice(('created', 'paid', 'refunded'))}", {
        "order_id": f"SO-{number}",
        "customer": _party(random_, person),
        "amount": f"{random_.randrange(1, 99900) / 100:.2f}",
        "currency": "CNY",
        "items": [{"sku": f"A{random_.randrange(20)}", "quantity": random_.randrange(1, 4)}],
    }


def _feedback(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    return "crm.feedback.given", {
        "customer": _party(random_, person),
        "rating": random_.randrange(1, 6),
        "text": random_.choice(_WORDS),
    }


def _complaint(
    random_: random.Random, number: int, person: int, at: datetime
) -> tuple[str, dict[str, Any]]:
    return "crm.complaint.opened", {
        "complaint_id": f"K-{number}",
        "customer": _party(random_, person),
        "reason": random_.choice(("delivery", "quality")),
        "text": random_.choice(_WORDS),
    }
