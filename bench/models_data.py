"""Read and split the data sets of the models' benchmark, which are not in the repository."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

Rows = list[tuple[str, str]]
# The share of a data set to learn from if its authors provide no test set.
STREAM_SHARE = 0.8


@dataclass(frozen=True)
class Task:
    """A data set: readers of its training rows and of its authors' test rows, if they have any."""

    read: Callable[[Path], Rows]
    test: Callable[[Path], Rows] | None = None
    chinese: bool = False


@dataclass(frozen=True)
class Parts:
    """A data set shuffled by a seed: `stream` for prequential figures, `learnt` before `unseen`.

    `learnt` is the stream itself if the authors provide a test set, else its first four fifths.
    """

    stream: Rows
    learnt: Rows
    unseen: Rows


def _table(path: str, text: str, label: str) -> Callable[[Path], Rows]:
    def read(data: Path) -> Rows:
        raw = (data / path).read_bytes()
        content = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8-sig")
        return [
            (row[text], row[label]) for row in csv.DictReader(io.StringIO(content)) if row[text]
        ]

    return read


def _clinc(*parts: str) -> Callable[[Path], Rows]:
    def read(data: Path) -> Rows:
        content = json.loads(
            gzip.decompress((data / "text_en/clinc_oos/data_full_train_val.json.gz").read_bytes())
        )
        return [(text, intent) for part in parts for text, intent in content[part]]

    return read


clinc_train = _clinc("train", "oos_train")
clinc_inside, clinc_outside = _clinc("val"), _clinc("oos_val")


# Both files form the stream, as in reference/baselines.md: 1,185 rows alone are too few for 15
# kinds of headlines.
def _tnews(data: Path) -> Rows:
    rows: Rows = []
    for part in ("train", "dev"):
        lines = (
            (data / f"text_zh/fewclue_tnews/{part}_few_all.json").read_text("utf-8").splitlines()
        )
        rows += [
            (row["sentence"], row["label_desc"]) for row in map(json.loads, filter(None, lines))
        ]
    return rows


_SHOPPING = "text_zh/online_shopping_10_cats/online_shopping_10_cats.csv.gz"
TASKS = {
    "banking77": Task(_table("text_en/banking77/train.csv", "text", "category")),
    "clinc": Task(clinc_train, _clinc("val", "oos_val")),
    "bitext": Task(
        _table("text_en/bitext_intents/train.csv", "utterance", "intent"),
        _table("text_en/bitext_intents/dev.csv", "utterance", "intent"),
    ),
    "sms": Task(_table("text_en/sms_spam/sms_spam.csv", "text", "label")),
    "airline": Task(_table("text_en/airline_tweets/tweets.csv", "text", "airline_sentiment")),
    "purchase": Task(
        _table("text_en/purchase_intention_tweets/purchase_intention.csv", "text", "class")
    ),
    "waimai": Task(_table("text_zh/waimai_10k/waimai_10k.csv", "review", "label"), chinese=True),
    "shopping": Task(_table(_SHOPPING, "review", "cat"), chinese=True),
    "smp2017": Task(
        _table("text_zh/smp2017_ecdt/train.csv", "text", "label"),
        _table("text_zh/smp2017_ecdt/develop.csv", "text", "label"),
        chinese=True,
    ),
    "tnews": Task(_tnews, chinese=True),
    "spam_sms": Task(_table("text_zh/spam_sms/spam.csv.gz", "text", "kind"), chinese=True),
}
_POLARITY = {
    "shopping_polarity": _table(_SHOPPING, "review", "label"),
    "hotel_polarity": _table(
        "text_zh/chnsenticorp_hotel/chnsenticorp_hotel.csv.gz", "review", "label"
    ),
}

# The needs of bitext's intents; if two needs are plausible, either counts as correct.
NEEDS = {
    "cancel_order": {"cancellation"},
    "change_order": {"order_status"},
    "change_shipping_address": {"logistics"},
    "check_cancellation_fee": {"cancellation", "price_inquiry"},
    "check_invoice": {"invoice"},
    "check_invoices": {"invoice"},
    "check_payment_methods": {"payment"},
    "check_refund_policy": {"refund_return"},
    "complaint": {"complaint"},
    "contact_customer_service": {"other", "technical_support"},
    "contact_human_agent": {"other", "technical_support"},
    "create_account": {"account"},
    "delete_account": {"account", "cancellation"},
    "delivery_options": {"logistics"},
    "delivery_period": {"logistics"},
    "edit_account": {"account"},
    "get_invoice": {"invoice"},
    "get_refund": {"refund_return"},
    "newsletter_subscription": {"cancellation", "account", "other"},
    "payment_issue": {"payment"},
    "place_order": {"purchase_process"},
    "recover_password": {"account"},
    "registration_problems": {"account"},
    "review": {"suggestion", "praise", "complaint"},
    "set_up_shipping_address": {"logistics"},
    "switch_account": {"account"},
    "track_order": {"order_status", "logistics"},
    "track_refund": {"refund_return"},
}


def load(data: Path, name: str) -> Rows:
    """Return the rows (text, label) of a task or of a polarity set (labels negative, positive)."""
    if name in _POLARITY:
        names = {"0": "negative", "1": "positive"}
        return [(text, names[label]) for text, label in _POLARITY[name](data)]
    return TASKS[name].read(data)


def shuffled(rows: Rows, limit: int | None, seed: int) -> Rows:
    """Return rows shuffled by a seed, at most `limit` of them (None: all)."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order[:limit]


def parts_of(data: Path, name: str, limit: int | None, seed: int) -> Parts:
    """Return the parts of a task, with at most `limit` rows to learn and to test (None: all)."""
    task = TASKS[name]
    stream = shuffled(task.read(data), limit, seed)
    if task.test is not None:
        return Parts(stream, stream, shuffled(task.test(data), limit, seed))
    return Parts(stream, *cut(stream))


def cut(rows: Rows) -> tuple[Rows, Rows]:
    """Split rows into those to learn and those to test, for a data set without a test set."""
    count = int(len(rows) * STREAM_SHARE)
    return rows[:count], rows[count:]


def chinese_not_spam(data: Path) -> Rows:
    """Return Chinese texts that are no mass mail: reviews and commands to assistants."""
    return [(text, "ham") for name in ("waimai", "smp2017") for text, _ in load(data, name)]


def spam_mails(data: Path) -> Rows:
    """Return subject and visible text of the SpamAssassin mails, labelled ham or spam."""
    folder = data / "email_raw/spamassassin_corpus_1"
    labels = {
        row["file"]: row["label"]
        for row in csv.DictReader((folder / "labels.csv").open(encoding="utf-8"))
    }
    rows: Rows = []
    with tarfile.open(folder / "messages.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            name = "/".join(member.name.split("/")[-2:])
            if file is not None and name in labels:
                rows.append((_visible_text(file.read()), labels[name]))
    return rows


def _visible_text(raw: bytes) -> str:
    mail = message_from_bytes(raw.split(b"\n", 1)[1] if raw.startswith(b"From ") else raw)
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    chosen = next(
        (part for part in parts if part.get_content_subtype() == "plain"),
        parts[0] if parts else None,
    )
    return f"{mail.get('Subject', '')}\n{'' if chosen is None else _body(chosen)}"


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    text = payload.decode("latin-1") if isinstance(payload, bytes) else ""
    if part.get_content_subtype() == "html":
        body = LexborHTMLParser(text).body
        return body.text(separator=" ") if body is not None else ""
    return text
