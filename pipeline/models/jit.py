"""Compile functions to machine code by Numba, the same way everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

from pipeline.cpu_limit import paused

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, to be compiled by Numba at its first call.

    IEEE arithmetic stays as written (no reassociation, no fused operations): results are equal in
    every process of one build. The machine code is cached on disk beside the source, or in the
    user's cache folder; if neither is writable, every process compiles again. Compiling takes
    seconds and is not counted as work on the record that comes first.
    """
    dispatcher: Any  # Numba declares `compile` as a method, which cannot be replaced
    try:
        dispatcher = njit(cache=True)(function)
    except RuntimeError:  # Numba has no writable folder for its cache
        dispatcher = njit(function)
    compile_ = dispatcher.compile

    def compile_unlimited(signature: Any) -> Any:
        with paused():
            return compile_(signature)

    dispatcher.compile = compile_unlimited
    return cast("Callable[P, R]", dispatcher)
