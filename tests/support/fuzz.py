"""Makes broken inputs out of valid ones; the same seed and number give the same case everywhere."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.support.bombs import BOMBS, Bomb, expanding, many_members, nested, packed
from tests.support.seeds import SEEDS, TRAITS

# One case in this many is a large one: they cost seconds at full size.
_LARGE_EVERY = 250
_PACKED_EVERY = 25


@dataclass(frozen=True, slots=True)
class Case:
    """One input; `packed` if it must be read as a file (compressed, or an archive)."""

    label: str
    data: bytes
    packed: bool = False


Mutator = Callable[[bytes, random.Random], bytes]


def cases(
    connector: str, seed: int, count: int, scale: float = 1.0, corpus: Sequence[bytes] = ()
) -> Iterator[Case]:
    """Yield `count` broken inputs for a connector; `scale` 1 makes the large ones full size."""
    for number in range(count):
        yield case(connector, seed, number, scale, corpus)


def case(
    connector: str, seed: int, number: int, scale: float = 1.0, corpus: Sequence[bytes] = ()
) -> Case:
    """Return one case by its number, which its label names."""
    rng = random.Random(f"{seed}/{connector}/{number}")
    sound = rng.choice([*SEEDS[connector], *corpus])
    label = f"{connector} --seed {seed} #{number}"
    if number % _LARGE_EVERY == _LARGE_EVERY - 1:
        bombs = _bombs(connector)
        make = bombs[number // _LARGE_EVERY % len(bombs)]
        return Case(f"{label} {make.__name__}", make(sound, scale))
    if number % _PACKED_EVERY == _PACKED_EVERY - 1:
        pack = rng.choice(_PACKINGS)
        return Case(f"{label} {pack.__name__}", pack(sound, rng, scale), packed=True)
    used = [rng.choice(_MUTATORS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    for mutate in used:
        sound = mutate(sound, rng)
    return Case(f"{label} {'+'.join(mutate.__name__ for mutate in used)}", sound)


def large(connector: str, scale: float) -> Iterator[Case]:
    """Yield every large and every packed input of a connector once, made of its first seed."""
    sound = SEEDS[connector][0]
    for make in _bombs(connector):
        yield Case(f"{connector} {make.__name__}", make(sound, scale))
    for pack in dict.fromkeys(_PACKINGS):
        yield Case(
            f"{connector} {pack.__name__}",
            pack(sound, random.Random(connector), scale),
            packed=True,
        )


def _bombs(connector: str) -> tuple[Bomb, ...]:
    return BOMBS[TRAITS[connector].hostile]


def damaged(connector: str, number: int) -> bytes:
    """Return valid input of a connector with small damage, by number."""
    rng = random.Random(f"damaged/{connector}/{number}")
    data = rng.choice(SEEDS[connector])
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(_MUTATORS)(data, rng)
    return data


def variants(sound: bytes, size: int) -> Iterator[bytes]:
    """Yield copies of the valid input, `size` bytes in all; ids (long numbers) differ in each."""
    copies = size // len(sound) + 1
    for copy in range(1, copies + 1):
        yield _LONG_NUMBER.sub(lambda match, copy=copy: b"%d" % (int(match[0]) + copy), sound)  # type: ignore[misc]


_LONG_NUMBER = re.compile(rb"\d{9,}")


# ---- small damage


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + int(rng.expovariate(1 / 40)) + 1)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut it off anywhere."""
    return data[: rng.randint(0, len(data))]


def behead(data: bytes, rng: random.Random) -> bytes:
    """Start anywhere."""
    return data[rng.randint(0, len(data)) :]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip up to twenty bits."""
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 20) if data else 0):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def drop_span(data: bytes, rng: random.Random) -> bytes:
    """Remove some bytes."""
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def repeat_span(data: bytes, rng: random.Random) -> bytes:
    """Repeat some bytes up to two hundred times."""
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.randint(1, 200) + data[end:]


def insert_noise(data: bytes, rng: random.Random) -> bytes:
    """Insert random bytes."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 300)) + data[at:]


def insert_nul(data: bytes, rng: random.Random) -> bytes:
    """Insert NUL bytes."""
    at = rng.randint(0, len(data))
    return data[:at] + b"\0" * rng.choice((1, 1, 2, 512)) + data[at:]


_AWKWARD = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x1b$B",
    b"\x85",
    "\u2028".encode(),
    "\u202e".encode(),
    "\U000e0001".encode(),
    b"\x1a",
    b"\x0c",
    b'"',
    b'""',
    b"'",
    b",",
    b";",
    b"\t",
    b"\\",
    b"{",
    b"[",
    b"=?",
    b"?=",
    b"=?utf-8?b?/w?=",
    b"\nFrom ",
    b"\n\nFrom a@b Mon Nov  2 09:00:05 2026\n",
    b"\n--",
    b": ",
    b"<",
    b">",
    b"(",
    b"@",
    b"%00",
    b"NaN",
    b"1e999",
    b"-0",
)


def insert_token(data: bytes, rng: random.Random) -> bytes:
    """Insert what some parser treats as more than text."""
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(data))
        data = data[:at] + rng.choice(_AWKWARD) + data[at:]
    return data


def wrong_charset(data: bytes, rng: random.Random) -> bytes:
    """Write it in another encoding than declared or expected."""
    text = data.decode(rng.choice(("utf-8", "latin-1")), "replace")
    return text.encode(
        rng.choice(
            ("gb18030", "big5", "shift_jis", "utf-16", "utf-16-be", "utf-7", "cp1252", "utf-32")
        ),
        "replace",
    )


def mix_endings(data: bytes, rng: random.Random) -> bytes:
    r"""End lines with \n, \r\n, \r or nothing, at random or all alike."""
    endings = rng.choice(([b"\n"], [b"\r\n"], [b"\r"], [b"\r\r\n"], [b"\n", b"\r\n", b"\r", b""]))
    return b"".join(
        line.rstrip(b"\r\n") + rng.choice(endings) for line in data.splitlines(keepends=True)
    )


def shuffle_lines(data: bytes, rng: random.Random) -> bytes:
    """Put its lines in another order."""
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def huge_numbers(data: bytes, rng: random.Random) -> bytes:
    """Replace digits by many nines: years, sizes, amounts and ports beyond every range."""
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    for at in sorted(rng.sample(digits, min(len(digits), 3)), reverse=True):
        data = data[:at] + b"9" * rng.choice((2, 10, 20, 400, 5_000)) + data[at + 1 :]
    return data


def splice(data: bytes, rng: random.Random) -> bytes:
    """Join its head with the tail of an input of any connector."""
    other = rng.choice(rng.choice(list(SEEDS.values())))
    return truncate(data, rng) + behead(other, rng)


def all_noise(_data: bytes, rng: random.Random) -> bytes:
    """Return random bytes alone."""
    return rng.randbytes(rng.randint(0, 4_000))


_MUTATORS: tuple[Mutator, ...] = (
    truncate,
    behead,
    flip_bits,
    drop_span,
    repeat_span,
    insert_noise,
    insert_nul,
    insert_token,
    wrong_charset,
    mix_endings,
    shuffle_lines,
    huge_numbers,
    splice,
    all_noise,
)


# ---- packed

Packing = Callable[[bytes, random.Random, float], bytes]


def packed_whole(sound: bytes, rng: random.Random, _scale: float) -> bytes:
    """Pack valid input in any way."""
    return packed(sound, rng)


def packed_and_damaged(sound: bytes, rng: random.Random, _scale: float) -> bytes:
    """Pack valid input in any way, then damage it a little."""
    return rng.choice((truncate, flip_bits, drop_span, insert_noise))(packed(sound, rng), rng)


# The first two are cheap and are used more often.
_PACKINGS: tuple[Packing, ...] = (
    *(packed_whole, packed_and_damaged) * 20,
    expanding,
    nested,
    many_members,
)
