"""Renders self-contained HTML pages: customers' texts are escaped, no scripts, no requests."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """Return a rendered template; raises jinja2.UndefinedError if it uses a missing value."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
