"""Command line: run analyses in this process or through a running service."""

from zfscope.cli.app import main

__all__ = ["main"]
