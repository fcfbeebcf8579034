"""Lifecycle of the service: admission of requests, health, connections and shutdown."""
