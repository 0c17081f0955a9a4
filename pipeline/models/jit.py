"""The one place where functions are compiled to machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled by Numba at its first call.

    IEEE arithmetic is kept as written (no reassociation, no fused operations), so results are the
    same in every process of one build. The machine code is cached on disk beside the source, or in
    the user's cache folder; where neither can be written, every process compiles anew.
    """
    try:
        return cast("Callable[P, R]", njit(cache=True)(function))
    except RuntimeError:  # Numba found no folder it may write its cache to
        return cast("Callable[P, R]", njit(function))
