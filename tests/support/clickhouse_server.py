"""A real ClickHouse server on loopback without containers: chdb's library with its native and HTTP
listeners switched on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen
from xml.sax.saxutils import escape

from tests.support.stack import CACHE, Server, StackMissingError, free_port, wait_until

_CHILD = Path(__file__).with_name("clickhouse_child.py")

# Newer than npm's `latest`, whose 26.5.3 has no SYSTEM START LISTEN.
PACKAGE = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1"
# The sleeping query is what keeps the process up: its limits are lifted, and a billion seconds are
# thirty years.
_SERVE = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM"
    " numbers(1000000000) FORMAT Null"
)

_CONFIG = (
    "<clickhouse><users_config>{users}</users_config>"
    "<backups><allowed_path>{backups}</allowed_path></backups></clickhouse>"
)
_USERS = (
    "<clickhouse><profiles><default/></profiles><quotas><default/></quotas>"
    "<users>{users}</users></clickhouse>"
)
_USER = (
    "<{name}><password>{password}</password><networks><ip>127.0.0.1</ip></networks>"
    "<profile>default</profile><quota>default</quota></{name}>"
)


def clickhouse_library(cache: Path) -> Path:
    """Return the server's library, downloaded by npm once; raises StackMissingError."""
    folder = cache / "clickhouse" / PACKAGE.rpartition("@")[2]
    wanted = folder / "libchdb.so"
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise StackMissingError("the ClickHouse library is built for Linux on x86-64 only")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _fetched(Path(scratch)).rename(wanted)
    return wanted


def _fetched(scratch: Path) -> Path:
    if shutil.which("npm") is None:
        raise StackMissingError("ClickHouse needs npm, which is not on this machine's PATH")
    command = ["npm", "pack", "--silent", PACKAGE]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackMissingError(
            f"npm could not fetch ClickHouse: {(done.stdout + done.stderr)[-800:]}"
        )
    member = "package/libchdb.so"
    with tarfile.open(scratch / done.stdout.split()[-1]) as packed:
        packed.extract(member, scratch, filter="data")
    return scratch / member


class ClickHouseServer(Server):
    """One server: `start`, `kill` (-9), `start` again on the same ports with the same data, `stop`.
    Use as a context manager.

    `users` adds users with passwords to `default`, who has none. It ends with the process that made
    it, whatever that ends by.
    """

    def __init__(
        self, folder: Path, cache: Path | None = None, users: Mapping[str, str] | None = None
    ) -> None:
        self._library = clickhouse_library(cache or CACHE)
        self._folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.tcp_port, self.http_port = free_port(), free_port()
        known = {"default": "", **(users or {})}
        lines = "".join(
            _USER.format(name=name, password=escape(word)) for name, word in known.items()
        )
        (self._folder / "users.xml").write_text(_USERS.format(users=lines), "utf-8")
        places = {
            "users": escape(f"{self._folder}/users.xml"),
            "backups": escape(f"{self._folder}/backups"),
        }
        (self._folder / "config.xml").write_text(_CONFIG.format(**places), "utf-8")

    @property
    def url(self) -> str:
        """Its address as Switchboard's setting `warehouse` takes it, for the user `default`."""
        return self.url_for()

    def url_for(
        self,
        user: str = "default",
        password: str = "",
        database: str = "switchboard",
        port: int = 0,
    ) -> str:
        """Return the address of a user and a database, through another port where one is named (a
        gate).
        """
        secret = f":{quote(password, safe='')}" if password else ""
        address = f"127.0.0.1:{port or self.tcp_port}"
        return (
            f"clickhouse://{quote(user, safe='')}{secret}@{address}/{database}"
            f"?http_port={self.http_port}"
        )

    @property
    def port(self) -> int:
        """The port of the native protocol."""
        return self.tcp_port

    def client(self, **options: Any) -> Any:
        """Return a new clickhouse-driver client for the user `default`."""
        from clickhouse_driver import Client

        return Client("127.0.0.1", self.tcp_port, **options)

    def start(self) -> ClickHouseServer:
        """Start the server and return when it answers."""
        arguments = [
            f"--config-file={self._folder}/config.xml",
            f"--path={self._folder}/data",
            "--listen_host=127.0.0.1",
            f"--tcp_port={self.tcp_port}",
            f"--http_port={self.http_port}",
            "--function_sleep_max_microseconds_per_block=0",
            "--max_execution_time=0",
            f"--query={_SERVE}",
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_CHILD), str(os.getpid()), str(self._library), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        wait_until(f"ClickHouse (see {self._folder}/server.log)", self._answers)
        return self

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise StackMissingError(
                f"ClickHouse ended: {(self._folder / 'server.log').read_text()[-800:]}"
            )
        # HTTP begins to listen after the native protocol: where it answers, both do.
        try:
            with urlopen(
                f"http://127.0.0.1:{self.http_port}/?query=SELECT%201", timeout=5
            ) as answer:
                return bytes(answer.read()) == b"1\n"
        except OSError:
            return False
