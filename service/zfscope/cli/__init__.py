"""`zfscope ...`: the same analyses in this process, or against a running service."""

from zfscope.cli.app import main

__all__ = ["main"]
