"""`zfscope indexed-photo`: write the file of a photo that an index records."""

from pathlib import Path
from typing import Annotated

import typer

from zfscope.cli import options as opt
from zfscope.cli.command import remote
from zfscope.cli.connect import connect
from zfscope.cli.output import print_json
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.files import folder_for_files, write_file


@remote
def indexed_photo(
    blake2b: Annotated[
        str,
        typer.Argument(
            metavar="HASH", show_default=False, help="Hash of the photo's file: `blake2b` in top-k --json."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", show_default=False, help="File to write.")],
    index: Annotated[
        str,
        typer.Option("--index", metavar="NAME", help="Name of the index.  [default: the model's only index]"),
    ] = "",
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    indexes: opt.Indexes = None,
    store: opt.Store = None,
    server: opt.Server = "",
    as_json: opt.AsJson = False,
) -> None:
    """Write the file of a photo that an index records.

    The file is read from where it was indexed, by the service if --server is given, and compared with its
    hash. Photos that are missing or have changed since are not written.

    \b
    Examples:
      zfscope indexed-photo 9edc4ba8520c4678f66e2ec2577a78ea --out photo.jpg
      zfscope indexed-photo 9edc4ba8520c4678f66e2ec2577a78ea --out photo.jpg --server localhost:50051
    """
    if out.exists():
        raise InputError(f"'{out}' already exists; choose another file with --out", field="out")
    with connect(server, store, indexes=indexes) as client:
        photo = client.indexed_photo(blake2b, index=index, model=model, version=version)
    with folder_for_files(out.parent):
        write_file(out, photo.data)
    if as_json:
        known = {name: value for name, value in vars(photo).items() if name != "data"}
        print_json({**known, "bytes": len(photo.data), "file": str(out)})
    else:
        echo(f"'{photo.path}' of index '{photo.index}' written to {out}")
