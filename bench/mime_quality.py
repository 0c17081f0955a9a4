"""Measure how well raw mail becomes text, on real data and compared with other libraries.

`python bench/mime_quality.py --data ../shared/data [--peers] [--only mime charset html language]`.
Peers are measured where they can be imported (mail-parser, fast-mail-parser, chardet, cchardet,
charset-normalizer, beautifulsoup4 + lxml, selectolax, resiliparse, inscriptis): install them, with
the dependencies of `pipeline`, in an environment of their own. Times are CPU times of this process.
Ground truth: for charsets the declared one where it decodes strictly, hidden from the reader; for
HTML the words that BeautifulSoup finds after what style and markup hide is removed. "lost" is a
body without text where another parser found text.
"""

from __future__ import annotations

import argparse
import csv
import email
import email.message
import email.policy
import gzip
import importlib
import io
import random
import re
import sys
import tarfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.mail.charset import decode_text, lookup_charset  # noqa: E402
from pipeline.mail.html_text import html_to_text  # noqa: E402
from pipeline.mail.mime import NotAMailError, parse_mail  # noqa: E402
from pipeline.processors.clean.language import detect_language  # noqa: E402

# Samples are drawn with this seed.
SEED = 7
SHORT_TEXTS = 400
LANGUAGE_TEXTS = 1_000
REPEATS = 5


class Reading(NamedTuple):
    """The result of a parser for one mail: its text, and whether it found a date."""

    text: str
    dated: bool


class TextPart(NamedTuple):
    """A decoded text part of a real mail, as the standard library finds it."""

    raw: bytes
    label: str | None
    is_html: bool


Parser = Callable[[bytes], Reading]
Item = TypeVar("Item")


def optional(name: str) -> Any:
    """Import a peer, or return None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


# --- data


def small_sets(folder: Path) -> list[bytes]:
    """Return the mails of the folders of test mails."""
    patterns = [
        "mikel_mail/*/**/*",
        "espocrm_mail/*.eml",
        "cpython_email/messages/*",
        "mime4j_mimetools/*.msg",
    ]
    return [
        file.read_bytes()
        for pattern in patterns
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    ]


def corpus(folder: Path) -> list[bytes]:
    """Return the 3,000 mails of the SpamAssassin corpus."""
    with tarfile.open(folder / "spamassassin_corpus_1" / "messages.tar.xz") as archive:
        members = sorted(
            (member for member in archive if member.isfile()), key=lambda member: member.name
        )
        return [
            file.read() for member in members if (file := archive.extractfile(member)) is not None
        ]


def text_parts(mails: Sequence[bytes]) -> Iterator[TextPart]:
    """Yield the text parts of mails, by the standard library's lenient policy."""
    for raw in mails:
        message = email.message_from_bytes(raw)
        for part in message.walk():
            if part.get_content_maintype() == "text":
                content = part.get_payload(decode=True)
                if isinstance(content, bytes):
                    yield TextPart(
                        content, part.get_content_charset(), part.get_content_subtype() == "html"
                    )


def rows(path: Path, column: str) -> list[str]:
    """Return a column of a CSV file, compressed or not."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return [row[column] for row in csv.DictReader(io.StringIO(text, newline=""))]


# --- MIME


def by_switchboard(raw: bytes) -> Reading:
    """Parse with this project; HTML is not rendered, as with the other parsers."""
    mail = parse_mail(raw)
    return Reading(mail.text or mail.html or "", mail.date is not None)


def stdlib_by_hand(raw: bytes) -> Reading:
    """Parse with the compat32 policy of the standard library, walking the parts."""
    message = email.message_from_bytes(raw)
    texts: list[str] = []
    for part in message.walk():
        content = part.get_payload(decode=True) if part.get_content_maintype() == "text" else None
        if isinstance(content, bytes):
            try:
                texts.append(content.decode(part.get_content_charset() or "us-ascii", "replace"))
            except LookupError:
                texts.append(content.decode("latin-1"))
    return Reading(
        "\n".join(texts), email.utils.parsedate_tz(str(message.get("date", ""))) is not None
    )


def stdlib_default(raw: bytes) -> Reading:
    """Parse with the modern policy of the standard library."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    _ = message["to"], message["from"], message["subject"]
    date = message["date"]
    return Reading(
        body.get_content() if body is not None else "",
        date is not None and date.datetime is not None,
    )


def parsers(with_peers: bool) -> dict[str, Parser]:
    """Return the parsers to compare."""
    chosen: dict[str, Parser] = {"Switchboard": by_switchboard}
    if not with_peers:
        return chosen
    chosen |= {"stdlib compat32 by hand": stdlib_by_hand, "stdlib policy.default": stdlib_default}
    mailparser, fast = optional("mailparser"), optional("fast_mail_parser")
    if mailparser is not None:

        def by_mailparser(raw: bytes) -> Reading:
            read = mailparser.parse_from_bytes(raw)
            return Reading(read.body, read.date is not None)

        chosen["mail-parser"] = by_mailparser
    if fast is not None:

        def by_fast(raw: bytes) -> Reading:
            read = fast.parse_email(raw)
            return Reading("\n".join([*read.text_plain, *read.text_html]), bool(read.date))

        chosen["fast-mail-parser"] = by_fast
    return chosen


def bench_mime(folder: Path, with_peers: bool) -> None:
    """Print how many mails each parser raises on, loses or damages, and its speed."""
    small, large = small_sets(folder), corpus(folder)
    mails = small + large
    readings: dict[str, list[Reading | None]] = {}
    speed: dict[str, float] = {}
    refused = 0
    for name, parser in parsers(with_peers).items():
        results: list[Reading | None] = []
        for raw in mails:
            try:
                results.append(parser(raw))
            except NotAMailError:
                refused += 1
                results.append(Reading("", False))
            except Exception:  # whatever a peer raises is what is counted
                results.append(None)
        readings[name] = results
        speed[name] = 1 / best_time(partial(ignore_errors, parser), large, 2)
    longest = [
        max((len(r.text.strip()) for r in column if r), default=0)
        for column in zip(*readings.values(), strict=True)
    ]
    print(f"\nMIME, {len(mails)} mails ({refused} without any header are rejected by this project)")
    print(f"{'parser':26}{'raising':>9}{'lost':>7}{'no date':>9}{'U+FFFD':>8}{'mails/s':>9}")
    for name, results in readings.items():
        raising = sum(result is None for result in results)
        lost = sum(
            best > 0 and not (result and result.text.strip())
            for result, best in zip(results, longest, strict=True)
        )
        undated = sum(result is not None and not result.dated for result in results)
        damaged = sum(result is not None and "\ufffd" in result.text for result in results)
        print(f"{name:26}{raising:>9}{lost:>7}{undated:>9}{damaged:>8}{speed[name]:>9.0f}")
    start = time.process_time()
    for raw in large:
        _ = parse_mail(raw).body_text
    spent = time.process_time() - start
    print(f"Switchboard with HTML rendered: {len(large) / spent:.0f} mails/s")


def ignore_errors(run: Parser, raw: bytes) -> None:
    """Run a parser for its time only; its exceptions were counted before."""
    with suppress(Exception):
        run(raw)


def best_time(run: Callable[[Item], Any], items: Sequence[Item], repeats: int = REPEATS) -> float:
    """Return the CPU seconds per item of the fastest of several passes over all items."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            run(item)
        times.append(time.process_time() - start)
    return min(times) / len(items)


# --- charsets


def detectors(with_peers: bool) -> dict[str, Callable[[bytes], str | None]]:
    """Return the decoders of bytes without a label."""
    chosen: dict[str, Callable[[bytes], str | None]] = {
        "Switchboard": lambda raw: decode_text(raw, None).text
    }
    if not with_peers:
        return chosen
    chardet, normalizer = optional("chardet"), optional("charset_normalizer")
    cchardet = optional("cchardet")

    def by_chardet(raw: bytes) -> str | None:
        return decoded(raw, chardet.detect(raw, prefer_superset=True)["encoding"])

    def by_normalizer(raw: bytes) -> str | None:
        best = normalizer.from_bytes(raw).best()
        return decoded(raw, best.encoding) if best is not None else None

    if chardet is not None:
        chosen["chardet"] = by_chardet
    if normalizer is not None:
        chosen["charset-normalizer"] = by_normalizer
    if cchardet is not None:
        chosen["cchardet"] = lambda raw: decoded(raw, cchardet.detect(raw)["encoding"])
    return chosen


def decoded(raw: bytes, label: str | None) -> str | None:
    """Decode strictly, or return None."""
    try:
        return raw.decode(label) if label else None
    except (LookupError, UnicodeError):
        return None


def bench_charset(data: Path, with_peers: bool) -> None:
    """Print how often each detector is right on hidden charsets and short Chinese texts."""
    folder = data / "email_raw"
    parts = [
        part for part in text_parts(small_sets(folder) + corpus(folder)) if not part.raw.isascii()
    ]
    known = [
        (part.raw, lookup_charset(part.label), decoded(part.raw, part.label)) for part in parts
    ]
    hidden = [
        (raw, {text, decoded(raw, charset.codecs[0])})
        for raw, charset, text in known
        if charset and charset.codecs and text
    ]
    reviews = rows(data / "text_zh" / "waimai_10k" / "waimai_10k.csv", "review")
    short = random.Random(SEED).sample(
        [text for text in reviews if not text.isascii()], SHORT_TEXTS
    )
    print(
        f"\nCharacter sets, {len(hidden)} parts with the declared one hidden; {SHORT_TEXTS} short"
        " texts in GB18030"
    )
    print(f"{'reader':26}{'parts':>9}{'short':>9}{'µs a part':>11}")
    for name, detect in detectors(with_peers).items():
        right = sum(detect(raw) in wanted for raw, wanted in hidden)
        read = sum(detect(text.encode("gb18030")) == text for text in short)
        spent = best_time(detect, [raw for raw, _ in hidden], 2)
        print(f"{name:26}{right:>5}/{len(hidden)}{read:>5}/{SHORT_TEXTS}{spent * 1e6:>11.0f}")
    pairs = sorted((folder / "cpython_email" / "cjkencodings").glob("*-utf8.txt"))
    names = [(pair, pair.name.removesuffix("-utf8.txt")) for pair in pairs]
    good = sum(
        decode_text(pair.with_name(f"{name}.txt").read_bytes(), name).text
        == pair.read_text("utf-8")
        for pair, name in names
    )
    print(f"reference texts under their label: {good}/{len(pairs)} equal their UTF-8 twins")
    labels = ("us-ascii", "iso-8859-1", "utf-8")
    wrong = [
        sum(decode_text(text.encode("gb18030"), label).text == text for text in short)
        for label in labels
    ]
    print(
        "GB18030 under a wrong label: "
        + ", ".join(f"{label} {n}/{SHORT_TEXTS}" for label, n in zip(labels, wrong, strict=True))
    )
    mojibake = [text.encode().decode("latin-1") for text in short]
    undone = sum(
        decode_text(broken.encode(), "utf-8").text == text
        for broken, text in zip(mojibake, short, strict=True)
    )
    kept = sum(decode_text(text.encode(), "utf-8").text == text for text in short)
    print(
        f"UTF-8 read as Latin-1 undone: {undone}/{SHORT_TEXTS}; good texts left alone:"
        f" {kept}/{SHORT_TEXTS}"
    )


# --- HTML

INLINE = (
    "a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd mark nobr q s samp small span"
    " strike strong sub sup tt u var"
)
ADDED_TEXT = re.compile(r"\b(?:alt|href)\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
WORD = re.compile(r"\w+")


def words(text: str) -> Counter[str]:
    """Count words, without characters that have no width."""
    return Counter(WORD.findall(re.sub("[\u00ad\u200b-\u200d\u2060\ufeff]", "", text)))


def visible(soup_module: Any, html: str) -> str:
    """Return what a reader sees, by BeautifulSoup: nothing hidden, inline tags break no words."""
    soup = soup_module.BeautifulSoup(html, "lxml")
    for tag in soup(["script", "style", "title", "template"]):
        tag.decompose()
    for comment in soup.find_all(string=lambda text: isinstance(text, soup_module.Comment)):
        comment.extract()
    for tag in soup.find_all(True):
        if not tag.decomposed and HIDDEN.search(tag.get("style") or ""):
            tag.decompose()
    for tag in soup.find_all(INLINE.split()):
        tag.unwrap()
    soup.smooth()
    return str(soup.get_text("\n"))


def renderers(with_peers: bool) -> dict[str, Callable[[str], str]]:
    """Return the renderers to compare."""
    chosen: dict[str, Callable[[str], str]] = {"Switchboard": html_to_text}
    lexbor, resiliparse, inscriptis = (
        optional("selectolax.lexbor"),
        optional("resiliparse.extract.html2text"),
        optional("inscriptis"),
    )
    if with_peers and lexbor is not None:
        chosen["selectolax text"] = lambda html: str(
            lexbor.LexborHTMLParser(html).text(separator=" ")
        )
    if with_peers and resiliparse is not None:
        chosen["resiliparse"] = lambda html: str(resiliparse.extract_plain_text(html))
    if with_peers and inscriptis is not None:
        chosen["inscriptis"] = lambda html: str(inscriptis.get_text(html))
    return chosen


def bench_html(folder: Path, with_peers: bool) -> None:
    """Print word recall and precision of each renderer against BeautifulSoup, and its time."""
    pages = [
        decode_text(p.raw, p.label).text
        for p in text_parts(small_sets(folder) + corpus(folder))
        if p.is_html
    ]
    soup = optional("bs4")
    truth = [words(visible(soup, page)) for page in pages] if soup is not None else []
    print(
        f"\nHTML to text, {len(pages)} pages"
        + ("" if truth else " (recall needs beautifulsoup4 and lxml)")
    )
    print(f"{'renderer':26}{'recall':>9}{'precision':>11}{'µs a page':>11}")
    for name, render in renderers(with_peers).items():
        spent = best_time(render, pages)
        recall, precision = (
            shares(truth, [words(render(page)) for page in pages]) if truth else (float("nan"),) * 2
        )
        print(f"{name:26}{recall:>9.4f}{precision:>11.4f}{spent * 1e6:>11.0f}")
    if truth:
        # Image descriptions and link addresses are not in the reference text.
        bare = [words(html_to_text(ADDED_TEXT.sub("", page))) for page in pages]
        recall, precision = shares(truth, bare)
        print(f"{'Switchboard, no alt, href':26}{recall:>9.4f}{precision:>11.4f}")


def shares(truth: Sequence[Counter[str]], counted: Sequence[Counter[str]]) -> tuple[float, float]:
    """Return mean recall and mean precision of bags of words."""
    hits = [(t & f).total() for t, f in zip(truth, counted, strict=True)]
    recall = mean(h / t.total() if t else 1.0 for h, t in zip(hits, truth, strict=True))
    return recall, mean(h / f.total() if f else 1.0 for h, f in zip(hits, counted, strict=True))


# --- language


def bench_language(data: Path) -> None:
    """Print how often the language of short English and Chinese texts is right, and the time."""
    english = rows(data / "text_en" / "banking77" / "train.csv", "text")
    tweets = rows(data / "text_en" / "airline_tweets" / "tweets.csv", "text")
    reviews = rows(data / "text_zh" / "waimai_10k" / "waimai_10k.csv", "review")
    hotels = rows(data / "text_zh" / "chnsenticorp_hotel" / "chnsenticorp_hotel.csv.gz", "review")
    detect_language("the model is loaded before anything is timed")
    print(f"\nLanguage, {LANGUAGE_TEXTS} texts of each set")
    print(f"{'set':26}{'right':>9}{'silent':>8}{'µs a text':>11}")
    sets = [
        ("banking77", english, "en"),
        ("airline tweets", tweets, "en"),
        ("waimai", reviews, "zh"),
        ("hotels", hotels, "zh"),
    ]
    for name, texts, code in sets:
        sample = random.Random(SEED).sample(texts, LANGUAGE_TEXTS)
        codes = [detect_language(text).code for text in sample]
        spent = best_time(detect_language, sample, 2)
        print(
            f"{name:26}{codes.count(code) / len(codes):>9.3f}{codes.count(''):>8}"
            f"{spent * 1e6:>11.0f}"
        )


def main() -> None:
    """Run the chosen benches."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        help="folder of the real data sets",
    )
    arguments.add_argument(
        "--peers", action="store_true", help="measure the other libraries that are installed, too"
    )
    arguments.add_argument(
        "--only", nargs="+", choices=["mime", "charset", "html", "language"], default=[]
    )
    chosen = arguments.parse_args()
    if not (chosen.data / "email_raw").is_dir():
        sys.exit(f"{chosen.data} holds no email_raw: give the folder of the data sets with --data")
    warnings.simplefilter("ignore")
    wanted = chosen.only or ["mime", "charset", "html", "language"]
    if "mime" in wanted:
        bench_mime(chosen.data / "email_raw", chosen.peers)
    if "charset" in wanted:
        bench_charset(chosen.data, chosen.peers)
    if "html" in wanted:
        bench_html(chosen.data / "email_raw", chosen.peers)
    if "language" in wanted:
        bench_language(chosen.data)


if __name__ == "__main__":
    main()
