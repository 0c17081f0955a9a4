"""Write what in deploy/ follows from the code: Grafana's dashboards, KEDA's triggers, the
Prometheus operator's rules; `--check` compares.

From the repository's root: python -m deploy.generate
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.generate import analysts, kubernetes, operations
from deploy.generate.panels import as_json

_DEPLOY = Path(__file__).resolve().parents[1]


def generated() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    alerts = (_DEPLOY / "prometheus/alerts.yml").read_text("utf-8")
    texts = {
        "grafana/dashboards/operations.json": as_json(operations.dashboard()),
        "grafana/dashboards/analysts.json": as_json(analysts.dashboard()),
        "k8s/autoscaling/scaled-objects.yaml": kubernetes.scaled_objects(),
        "k8s/autoscaling-secured/kustomization.yaml": kubernetes.secured(),
        "k8s/monitoring/alerts.yaml": kubernetes.rules(alerts),
    }
    return {_DEPLOY / name: text for name, text in texts.items()}


def main() -> None:
    """Write the files, or with `--check` end with 1 where one differs."""
    files = generated()
    if "--check" not in sys.argv[1:]:
        for path, text in files.items():
            path.write_text(text, "utf-8")
        return
    stale = [
        path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    for path in stale:
        print(
            f"{path.relative_to(_DEPLOY.parent)} is not as the code says: run `make generate`",
            file=sys.stderr,
        )
    sys.exit(bool(stale))


if __name__ == "__main__":
    main()
