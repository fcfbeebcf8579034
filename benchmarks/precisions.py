"""The option `--precision` of benchmarks."""

import argparse

from zfscope.choices import PrecisionName


def add_precision_option(parser: argparse.ArgumentParser) -> None:
    """Add `--precision`: that of ZFScope; what it is compared with stays in float32.

    tf32 is left out: it would hold for everything on the GPU, also for what ZFScope is compared with.
    """
    names = [PrecisionName.float32.value, PrecisionName.bfloat16.value]
    parser.add_argument("--precision", choices=names, default="float32", help="of ZFScope (default: float32)")
