"""Compile functions to machine code by Numba, the same way everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, to be compiled by Numba at its first call.

    IEEE arithmetic stays as written (no reassociation, no fused operations): results are equal in
    every process of one build. The machine code is cached on disk beside the source, or in the
    user's cache folder; if neither is writable, every process compiles again.
    """
    try:
        return cast("Callable[P, R]", njit(cache=True)(function))
    except RuntimeError:  # Numba has no writable folder for its cache
        return cast("Callable[P, R]", njit(function))
