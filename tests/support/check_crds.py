"""Check custom resources against models made from their CRDs; run in the validators' environment,
YAML on standard input.

Prints a line a problem and ends with 1 where there is one. The models let unknown fields pass, so
what comes out must be what went in.
"""

import sys
from typing import Any

import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring
from pydantic import ValidationError

MODELS = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
    ("monitoring.coreos.com/v1", "PodMonitor"): monitoring.PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): monitoring.PrometheusRule,
}


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Return the paths of what a model did not keep."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            one
            for key, value in given.items()
            for one in (
                lost(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(kept, list):
        return [
            one
            for place, value in enumerate(given)
            for one in lost(value, kept[place], f"{path}[{place}]")
        ]
    return []


def problems(resource: dict[str, Any]) -> list[str]:
    """Return what is wrong with a resource."""
    name = f"{resource['kind']} {resource['metadata']['name']}"
    model = MODELS.get((resource["apiVersion"], resource["kind"]))
    if model is None:
        return [f"{name}: no schema is at hand"]
    try:
        kept = model.model_validate(resource).model_dump(
            mode="json", by_alias=True, exclude_unset=True
        )
    except ValidationError as error:
        return [f"{name}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return [f"{name}: there is no {path}" for path in lost(resource, kept)]


found = [problem for resource in yaml.safe_load_all(sys.stdin) for problem in problems(resource)]
print("\n".join(found))
sys.exit(bool(found))
