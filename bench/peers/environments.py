"""One virtualenv per peer under .cache/bench/, with the versions of the benchmark.

`python -m bench.peers.environments [peer …]` creates all, or those of the arguments. Peers need
their own environments because they pin other versions of our dependencies: Quix Streams 3.28 wants
confluent-kafka < 2.13, Arroyo 2.48 wants >= 2.13.2.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDER = ROOT / ".cache" / "bench"

# The imports of `pipeline.processors.enrich` and the models: the peers run the same step as we do.
_ENRICH = (
    "orjson",
    "pydantic",
    "phonenumbers",
    "py3langid",
    "chardet",
    "ftfy",
    "python-stdnum",
    "numpy",
    "numba",
    "pyyaml",
)

# The peers at the versions of docs/adr/0011; all other packages by constraints.txt, as far as the
# pins of a peer allow it.
_PINNED: dict[str, tuple[str, ...]] = {
    "quix": ("quixstreams==3.28.1",),
    "bytewax": ("bytewax[kafka]==0.21.1",),
    "arroyo": ("sentry-arroyo==2.48.0",),
    # uvloop and cramjam are what Faust's own guide asks for where speed matters.
    "faust": ("faust-streaming==0.15.3", "uvloop", "cramjam"),
    # The peer of bench/models_quality.py, of the series that reference/baselines.md measured.
    "vw": ("vowpalwabbit==9.11.9",),
}
# Our constraints that conflict with a peer's metadata; pip picks the newest version it allows.
_UNCONSTRAINED: dict[str, tuple[str, ...]] = {
    "quix": ("confluent-kafka", "pydantic", "pydantic_core", "pydantic-settings")
}

# A second way to run a peer shares its environment.
_SHARED = {"quix_exact": "quix"}

PEERS = tuple(_PINNED)


class PeerUnavailableError(Exception):
    """The environment of a peer cannot be created on this machine; the message says why."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment, created at first use.

    It is our own for `ours` and `bare`. Raises PeerUnavailableError.
    """
    peer = _SHARED.get(peer, peer)
    if peer not in _PINNED:
        return Path(sys.executable)
    folder = _FOLDER / peer
    wanted = _fingerprint(peer)
    stamp = folder / ".complete"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(
            f"creating the environment of {peer}, once for each set of versions",
            file=sys.stderr,
            flush=True,
        )
        _make(peer, folder)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def _make(peer: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    constraints = _FOLDER / f"{peer}-constraints.txt"
    constraints.write_text("\n".join(_constraints(peer)) + "\n")
    _run(peer, [sys.executable, "-m", "venv", str(folder)])
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    _run(peer, [*pip, "-c", str(constraints), *_PINNED[peer], *_ENRICH])


def _constraints(peer: str) -> list[str]:
    unconstrained = {_normal(name) for name in _UNCONSTRAINED.get(peer, ())}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if _normal(line.split("==")[0]) not in unconstrained]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _fingerprint(peer: str) -> str:
    words = (sys.version, *_PINNED[peer], *_ENRICH, *_constraints(peer))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _run(peer: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise PeerUnavailableError(f"{peer} cannot be installed: " + " | ".join(lines[-3:])[:600])


def main() -> int:
    """Create the environments of the arguments, or all; return 1 if one cannot be created."""
    missing = 0
    for peer in sys.argv[1:] or PEERS:
        try:
            print(f"{peer}: {python_of(peer).relative_to(ROOT)}")
        except PeerUnavailableError as error:
            missing += 1
            print(error)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
