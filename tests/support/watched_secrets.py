"""A file that nobody may read and a port that nobody may connect to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CANARY = "canary-7f3c1d"


@dataclass(frozen=True)
class WatchedSecrets:
    """The file's path, and a listening socket of this machine."""

    file: Path
    listener: socket.socket

    @property
    def port(self) -> int:
        """The port of the listening socket."""
        return int(self.listener.getsockname()[1])

    def was_connected(self) -> bool:
        """Return whether a connection waits at the socket."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def was_written(self) -> bool:
        """Return whether a file lies beside the secret one."""
        return [*self.file.parent.iterdir()] != [self.file]


@contextmanager
def watched_secrets(folder: Path) -> Iterator[WatchedSecrets]:
    """Write the file into a new folder and listen on loopback."""
    folder.mkdir(parents=True)
    file = folder / "secret.txt"
    file.write_text(CANARY + "\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield WatchedSecrets(file, listener)
