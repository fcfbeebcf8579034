"""Metrics of the service, from its registry."""

from reference.markdown import code, table, text
from zfscope.server.telemetry.metrics import Metrics


def metrics() -> str:
    """Return a table of all metrics but those of the process and of Python."""
    registered = Metrics()
    rows = [
        (
            code(f"{metric.name}_total" if metric.type == "counter" else metric.name),
            metric.type,
            ", ".join(map(code, registered.labels.get(metric.name, ()))),
            text(metric.documentation),
        )
        for metric in registered.registry.collect()
        if metric.name.startswith(("grpc_", "zfscope_"))
    ]
    return table(("metric", "type", "labels", "meaning"), rows)
