"""The life of a service: admission of requests, health, connections, shutdown."""
