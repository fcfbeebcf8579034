"""Telemetry of the service: log, metrics and traces."""
