"""What is found under a path, in which order, and what its bytes are; lines of bounded length."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import socket
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import byte_streams, input_units, tar_archives, zip_archives
from pipeline.ingest.byte_streams import UnreadableUnitError, read_lines
from pipeline.ingest.input_units import walk
from pipeline.ingest.port import InputUnit

Skips = list[tuple[str, str]]


def contents(path: Path, skips: Skips | None = None) -> dict[str, bytes]:
    """All units under a path, by name relative to it."""
    found = {}
    for unit in walk(
        [path], lambda name, reason: (skips if skips is not None else []).append((name, reason))
    ):
        with unit.open() as stream:
            found[unit.name.removeprefix(f"{path}").lstrip("/!")] = stream.read()
    return found


def only(path: Path) -> InputUnit:
    [unit] = walk([path])
    return unit


def error_of(unit: InputUnit) -> str:
    with pytest.raises(UnreadableUnitError) as caught, unit.open() as stream:
        stream.read()
    assert unit.name in str(caught.value)
    return str(caught.value)


# ---- files and folders


def test_files_of_a_folder_are_sorted_and_skips_are_reported(tmp_path: Path) -> None:
    for name in (
        "b/2.eml",
        "b/10.eml",
        "a.eml",
        "邮件/来信",
        ".hidden",
        "a.eml~",
        "#a#",
        ".git/config",
        "Inbox.msf",
        "x.part",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    skips: Skips = []
    found = contents(tmp_path, skips)
    assert list(found) == ["a.eml", "b/10.eml", "b/2.eml", "邮件/来信"]
    assert found["邮件/来信"] == "邮件/来信".encode()
    assert {Path(name).name for name, _ in skips} == {
        ".hidden",
        "a.eml~",
        "#a#",
        ".git",
        "Inbox.msf",
        "x.part",
    }
    assert all(reason for _, reason in skips)


def test_a_named_file_is_read_even_if_hidden(tmp_path: Path) -> None:
    (tmp_path / ".mail").write_bytes(b"x")
    assert contents(tmp_path / ".mail") == {"": b"x"}


def test_a_missing_path_is_named_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="not-there"):
        walk([tmp_path / "there", tmp_path / "not-there"])


def test_signature_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x")
    before = only(file).signature
    assert only(file).signature == before
    file.write_bytes(b"xy")
    assert only(file).signature != before


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d").symlink_to(tmp_path / "a" / "file")
    skips: Skips = []
    assert list(contents(tmp_path, skips)) == ["a/file", "d"]
    assert {Path(name).name for name, _ in skips} == {"loop", "b", "c"}


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        skips: Skips = []
        assert contents(tmp_path, skips) == {}
    assert [(Path(name).name, reason) for name, reason in skips] == [
        ("pipe", "a pipe, socket or device"),
        ("socket", "a pipe, socket or device"),
    ]
    assert "save it as a file" in error_of(only(tmp_path / "pipe"))


def test_names_that_are_not_utf8_are_printable(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.eml"
    with open(path, "wb") as file:
        file.write(b"x")
    assert contents(tmp_path) == {"\\xff\\xfe.eml": b"x"}


def test_names_are_sorted_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(f"{number:x}" for number in range(50))
    for name in names:
        (tmp_path / name).touch()
    for batch in (1, 7, 50, 51):
        monkeypatch.setattr(input_units, "_SORT_BATCH", batch)
        assert list(contents(tmp_path)) == names


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """The innermost of 1,200 folders, taken away afterwards by rm: pytest and shutil cannot, they
    recurse.
    """
    folders = [tmp_path / "d"]
    for _ in range(1_200):
        folders.append(folders[-1] / "d")
    for folder in folders:
        folder.mkdir()
    yield folders[-1]
    subprocess.run(["rm", "-rf", folders[0]], check=True)


def test_folders_nested_deeper_than_the_call_stack(tmp_path: Path, deep_folder: Path) -> None:
    (deep_folder / "file").write_bytes(b"x")
    assert list(contents(tmp_path).values()) == [b"x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "open").write_bytes(b"x")
    closed, opened = walk([tmp_path])
    assert opened.open().read() == b"x"
    with pytest.raises(PermissionError):
        closed.open()


# ---- Maildir


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "new" / "1700000002.b.host").write_bytes(b"second")
    (tmp_path / "cur" / "1700000001.a.host:2,S").write_bytes(b"first")
    (tmp_path / "cur" / "1700000003.c.host,S=5:2,FRS").write_bytes(b"third")
    (tmp_path / "tmp" / "1700000004.d.host").write_bytes(b"half a mess")
    (tmp_path / ".Sent" / "cur" / "1700000005.e.host:2,").write_bytes(b"sent")
    (tmp_path / "dovecot.index.log").write_bytes(b"index")
    return tmp_path


def test_a_maildir_gives_its_messages_by_unique_name(maildir: Path) -> None:
    assert contents(maildir) == {
        "1700000001.a.host": b"first",
        "1700000002.b.host": b"second",
        "1700000003.c.host,S=5": b"third",
        ".Sent/1700000005.e.host": b"sent",
    }


def test_a_message_is_the_same_unit_after_it_is_read_and_flagged(maildir: Path) -> None:
    before = {unit.name: unit.signature for unit in walk([maildir])}
    (maildir / "new" / "1700000002.b.host").rename(maildir / "cur" / "1700000002.b.host:2,S")
    (maildir / "cur" / "1700000001.a.host:2,S").rename(maildir / "cur" / "1700000001.a.host:2,RS")
    assert {unit.name: unit.signature for unit in walk([maildir])} == before
    assert {unit.name: unit.signature for unit in walk([maildir / "cur"])}.items() <= before.items()
    assert only(maildir / "cur" / "1700000002.b.host:2,S").name == str(
        maildir / "1700000002.b.host"
    )


def test_a_message_moved_after_listing_is_opened(maildir: Path) -> None:
    listed = {Path(unit.name).name: unit for unit in walk([maildir])}
    (maildir / "new" / "1700000002.b.host").rename(maildir / "cur" / "1700000002.b.host:2,S")
    assert listed["1700000002.b.host"].open().read() == b"second"
    (maildir / "cur" / "1700000002.b.host:2,S").unlink()
    with pytest.raises(FileNotFoundError):
        listed["1700000002.b.host"].open()


# ---- compressed files

TEXT = b"".join(
    b"line %d of a mail that is long enough to be compressed\n" % number for number in range(20_000)
)


COMPRESSIONS = [gzip.compress, bz2.compress, partial(lzma.compress, preset=0)]


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_compression_is_recognised_by_content(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "mail.eml"
    for packed, plain in (
        (compress(TEXT), TEXT),
        (compress(TEXT) + compress(b"more"), TEXT + b"more"),
        (compress(b"") * 3 + compress(b"more") + compress(b""), b"more"),
        (compress(TEXT) + b"\0" * 1024, TEXT),
        (compress(b""), b""),
    ):
        file.write_bytes(packed)
        assert contents(file) == {"": plain}


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_bytes_before_the_damage_are_delivered(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    noise = b"".join(
        hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\n" for number in range(30_000)
    )
    packed = compress(noise)
    file = tmp_path / "mail"
    file.write_bytes(packed[: len(packed) // 2])
    unit = only(file)
    got: list[bytes] = []
    fault = ""
    try:
        with unit.open() as stream:
            got.extend(line.data for line in read_lines(stream, 100))
    except UnreadableUnitError as error:
        fault = f"{error}"
        got.append(error.rest)
    assert "cut short" in fault
    assert noise.startswith(b"".join(got))
    assert len(b"".join(got)) > len(noise) // 4


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (gzip.compress(TEXT)[:-9] + b"\0" * 9, "corrupt"),
        (gzip.compress(TEXT) + b"garbage", "corrupt"),
        (b"BZh91AY&SY" + b"\xff" * 100, "corrupt"),
        (b"\xfd7zXZ\x00" + b"\xff" * 100, "corrupt"),
        (b"\x1f\x8b\x08", "cut short"),
        (b"\x28\xb5\x2f\xfd rest", "Zstandard"),
        (b"Rar!\x1a\x07\x01\x00", "RAR"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 rest", "Outlook"),
    ],
)
def test_unreadable_files_say_why(tmp_path: Path, packed: bytes, why: str) -> None:
    (tmp_path / "mail").write_bytes(packed)
    assert why in error_of(only(tmp_path / "mail"))


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_streams, "RATIO_FLOOR", 1024 * 1024)
    (tmp_path / "bomb").write_bytes(bz2.compress(b"\0" * 8 * 1024 * 1024))
    assert "bomb" in error_of(only(tmp_path / "bomb"))
    (tmp_path / "mail").write_bytes(gzip.compress(TEXT))
    assert contents(tmp_path / "mail") == {"": TEXT}


# ---- archives

MEMBERS = {
    "a.eml": b"first",
    "folder/b.mbox": TEXT,
    "../../etc/passwd": b"a name is no path",
    "/absolute": b"nor this",
    "packed": gzip.compress(TEXT),
    "empty": b"",
    "邮件.eml": "你好".encode(),
}
PLAIN = MEMBERS | {"packed": TEXT}


def tar_of(members: dict[str, bytes], **options: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


ARCHIVES = {
    "pax tar": tar_of(MEMBERS),
    "gnu tar": tar_of(MEMBERS, format=tarfile.GNU_FORMAT),
    "tar.gz": gzip.compress(tar_of(MEMBERS)),
    "tar.bz2": bz2.compress(tar_of(MEMBERS)),
    "tar.xz": lzma.compress(tar_of(MEMBERS)),
    "zip": zip_of(MEMBERS),
    "stored zip": zip_of(MEMBERS, zipfile.ZIP_STORED),
    "bzip2 zip": zip_of(MEMBERS, zipfile.ZIP_BZIP2),
    "lzma zip": zip_of(MEMBERS, zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_the_members_of_an_archive_are_units(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "history.eml"  # the name says nothing
    file.write_bytes(ARCHIVES[kind])
    in_order = {unit.name.partition("!")[2]: unit.open().read() for unit in walk([file])}
    assert in_order == PLAIN
    assert list(in_order) == list(MEMBERS)
    assert os.listdir(tmp_path) == ["history.eml"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_can_be_opened_in_any_order_and_again(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(ARCHIVES[kind])
    listed = list(walk([tmp_path / "a"]))
    assert len({unit.signature for unit in listed}) > 1
    for _ in range(2):
        for unit in reversed(listed):
            with unit.open() as stream:
                assert stream.read() == PLAIN[unit.name.partition("!")[2]]


@pytest.mark.parametrize("held", [0, 8 * 1024 * 1024])
def test_the_current_member_can_be_opened_twice(
    tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_archives, "_MAX_BUFFERED_MEMBER", held)
    whole = tar_of({"one": TEXT, "two": TEXT[::-1]}, format=tarfile.GNU_FORMAT)
    (tmp_path / "a").write_bytes(gzip.compress(whole))
    for unit, expected in zip(walk([tmp_path / "a"]), (TEXT, TEXT[::-1]), strict=True):
        with unit.open() as stream:
            assert stream.read(1_000) == expected[:1_000]
        assert unit.open().read() == expected
    (tmp_path / "a").write_bytes(whole[: len(TEXT) // 2])
    unit = next(walk([tmp_path / "a"]))
    for _ in range(2):
        got = b"".join(until_fault(unit))
        assert whole[512:].startswith(got)
        assert len(got) == len(TEXT) // 2 - 512


def until_fault(unit: InputUnit) -> Iterator[bytes]:
    """The lines of a unit that is cut short, and what was read of the last."""
    try:
        yield from (line.data for line in read_lines(unit.open(), 1_000))
    except UnreadableUnitError as error:
        assert "cut short" in str(error)  # noqa: PT017
        yield error.rest


def test_reading_a_member_after_the_next_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_archives, "_MAX_BUFFERED_MEMBER", 0)
    (tmp_path / "a").write_bytes(tar_of({"one": TEXT, "two": TEXT[::-1]}))
    walking = walk([tmp_path / "a"])
    stream = next(walking).open()
    assert stream.read(10) == TEXT[:10]
    next(walking)
    with pytest.raises(UnreadableUnitError, match="out of order"):
        stream.read()


def test_links_folders_and_ignored_files_in_archives_are_skipped(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as tar:
        for name, kind in (
            ("dir", tarfile.DIRTYPE),
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name in (
            "__MACOSX/x",
            "m/.DS_Store",
            "m/tmp/1700000000.a.host",
            "m/.Sent/cur/1700000000.b.host:2,S",
        ):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    skips: Skips = []
    assert list(contents(tmp_path / "a", skips)) == ["m/.Sent/cur/1700000000.b.host:2,S"]
    assert {name.partition("!")[2] for name, _ in skips} == {
        "link", "hard", "pipe", "__MACOSX/x", "m/.DS_Store", "m/tmp/1700000000.a.host",
    }  # fmt: skip


@pytest.mark.parametrize("empty", [tar_of({}), zip_of({})], ids=["tar", "zip"])
def test_an_archive_without_files_is_reported(tmp_path: Path, empty: bytes) -> None:
    (tmp_path / "a").write_bytes(empty)
    skips: Skips = []
    found = contents(tmp_path / "a", skips)
    # A tar archive of nothing is a file of zeros, which no reader can tell from any other.
    assert found == {"": empty} or [reason for _, reason in skips] == ["an archive without files"]


def test_only_the_encrypted_member_is_unreadable(tmp_path: Path) -> None:
    data = bytearray(zip_of({"secret": b"x", "open": b"y"}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1  # general purpose flag, bit 0, of the first directory entry
    (tmp_path / "a").write_bytes(data)
    secret, plain = walk([tmp_path / "a"])
    assert "password" in error_of(secret)
    assert plain.open().read() == b"y"


def test_only_the_corrupt_member_is_unreadable(tmp_path: Path) -> None:
    data = zip_of({"bad": b"the checksum of this is wrong", "good": b"y"}, zipfile.ZIP_STORED)
    (tmp_path / "a").write_bytes(data.replace(b"the checksum", b"The checksum"))
    bad, good = walk([tmp_path / "a"])
    assert "corrupt" in error_of(bad)
    assert good.open().read() == b"y"


def test_a_zip_directory_that_points_before_the_file_is_unreadable(tmp_path: Path) -> None:
    data = bytearray(zip_of({"a": b"x"}))
    end = data.rindex(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<L", data, end + 16)
    struct.pack_into("<L", data, end + 16, offset + 1_000)
    (tmp_path / "a").write_bytes(data)
    assert error_of(only(tmp_path / "a"))


@pytest.mark.parametrize(
    "inner",
    [zip_of({"a": b"x"}), tar_of({"a": b"x"}), gzip.compress(tar_of({"a": b"x"}))],
    ids=["zip", "tar", "tar.gz"],
)
def test_an_archive_within_an_archive_is_rejected(tmp_path: Path, inner: bytes) -> None:
    (tmp_path / "a").write_bytes(tar_of({"inner": inner}))
    assert "within an archive" in error_of(only(tmp_path / "a"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_broken_tar_yields_its_readable_members_and_one_error(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    whole = tar_of(
        {"one": b"1" * 600, "two": b"2" * 600, "three": b"3" * 600}, format=tarfile.GNU_FORMAT
    )
    second = 512 + 1024
    for broken, why in (
        (whole[: second + 700], "two"),  # in the middle of a member
        (whole[:second], "no end mark"),  # between two members
        (whole[:second] + b"x" * 512 + whole[second + 512 :], "broken header"),
    ):
        (tmp_path / "a").write_bytes(pack(broken))
        read, faults = [], []
        for unit in walk([tmp_path / "a"]):
            try:
                read.append(unit.open().read())
            except UnreadableUnitError as error:
                faults.append(str(error))
        assert read == [b"1" * 600]
        assert why in faults[0]


def test_headers_that_claim_gigabytes_are_rejected(tmp_path: Path) -> None:
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 7 * 1024**3
    (tmp_path / "a").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + b"1" * 100_000)
    assert "header is larger" in error_of(only(tmp_path / "a"))


def test_a_tar_whose_sizes_go_backwards_ends(tmp_path: Path) -> None:
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + b"\xfc\x00"  # minus 1,024 in base 256
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a").write_bytes(bytes(block) * 4)
    faults = []
    for unit in walk([tmp_path / "a"]):
        try:
            assert unit.open().read() == b""
        except UnreadableUnitError as error:
            faults.append(str(error))
    assert len(faults) == 1


def test_an_enormous_zip_directory_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_archives, "_MAX_ZIP_DIRECTORY", 1_000)
    (tmp_path / "a").write_bytes(zip_of({f"{number}": b"" for number in range(100)}))
    assert "directory" in error_of(only(tmp_path / "a"))


@given(data=st.data())
def test_damaged_archives_raise_only_unreadable_unit_errors(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(data.draw(st.sampled_from(list(ARCHIVES.values()))))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for unit in walk([file]):
        try:
            with unit.open() as stream:
                stream.read()
        except UnreadableUnitError as error:
            assert str(file) in str(error)  # noqa: PT017


# ---- lines

LINES = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"", "字".encode(), b"0123456789" * 3, b"\0"])
).map(b"".join)


class Pieces(io.RawIOBase):
    """A stream that gives its bytes in pieces of its own choice, as sockets and decompressors
    do.
    """

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._data, self._size = io.BytesIO(data), size

    def readable(self) -> bool:
        return True

    def read1(self, _size: int) -> bytes:
        return self._data.read(self._size)


@given(data=LINES, limit=st.integers(1, 40), size=st.integers(1, 50))
def test_lines_equal_splitlines_and_are_bounded(data: bytes, limit: int, size: int) -> None:
    lines = list(read_lines(Pieces(data, size), limit))  # type: ignore[arg-type]
    expected = data.splitlines(keepends=True)
    assert [line.number for line in lines] == list(range(1, len(expected) + 1))
    for line, whole in zip(lines, expected, strict=True):
        assert line.data == whole[:limit]
        assert line.size == len(whole)
        assert line.oversize == (len(whole) > limit)
        assert line.sha256 == (hashlib.sha256(whole).hexdigest() if line.oversize else "")


def test_the_first_line_comes_before_the_rest_is_read() -> None:
    stream = io.BytesIO(b"first\n" + b"x" * 10_000_000)
    assert next(read_lines(stream, 1_000)).data == b"first\n"
    assert stream.tell() <= byte_streams.CHUNK
