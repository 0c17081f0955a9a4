"""Pages of HTML that stand by themselves: what customers wrote is escaped, nothing is fetched,
nothing is run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """Return a page of `pipeline/reporting/templates`; raises jinja2.UndefinedError for a value
    that it lacks.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
