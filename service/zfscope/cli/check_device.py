"""`zfscope check-device`: show what works on a device, and why not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.output import print_json, print_table, progress, title_of
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.runtimes.device_check import CheckResult, DeviceCheck, Finding

FAILED_EXIT = 1


def check_device(
    device: Annotated[opt.DeviceName, typer.Option("--device", help="Device to check.")] = opt.DeviceName.cpu,
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    torchserve: Annotated[
        str,
        typer.Option(
            "--torchserve",
            metavar="HOST:PORT",
            envvar="ZFSCOPE_TORCHSERVE",
            help="Also check TorchServe, by the address of its gRPC inference API.",
            show_default=False,
        ),
    ] = "",
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Check what works on a device.

    Load the libraries, run a forward pass by every runtime, a trace, a projection and an occlusion, and
    compare them with float64 on the CPU. Differences are fractions of the largest value. The exit code is 0
    if everything works and 1 otherwise.

    \b
    Examples:
      zfscope check-device --device cuda
      zfscope check-device --model squeezenet-imagenet --json
    """
    from zfscope.runtimes import TorchServe
    from zfscope.runtimes.device_check import device_checks
    from zfscope.store import ModelStore, require_layers

    loaded = ModelStore(find_store(store)).load(model, version)
    require_layers(loaded.manifest)  # the reference is computed in float64, layer by layer
    server = TorchServe(torchserve) if torchserve else None
    results = _run(device_checks(loaded, device.value, torchserve=server))
    works = all(result.ok for result in results)
    if as_json:
        used = {"device": device.value, "model": loaded.name, "version": loaded.version}
        print_json({**used, "works": works, "checks": [_as_object(result) for result in results]})
    else:
        _print(f"device {device.value}, with {title_of(loaded.name, loaded.version)}", results)
    if not works:
        raise typer.Exit(FAILED_EXIT)


def _run(checks: "Sequence[DeviceCheck]") -> "list[CheckResult]":
    """Run the checks; a terminal shows the current one, and still shows it if a library ends the process."""
    from zfscope.runtimes.device_check import run_checks

    with progress() as bar:
        task = bar.add_task("checking", total=len(checks))

        def begin(name: str) -> None:
            bar.update(task, description=f"checking {name}", advance=1)

        return run_checks(checks, begin=begin)


def _as_object(result: "CheckResult") -> Mapping[str, Any]:
    return {"check": result.name, "ok": result.ok, **asdict(result.finding), "reason": result.reason}


def _print(title: str, results: "Sequence[CheckResult]") -> None:
    columns = {"check": "left", "result": "left", "details": "left"}
    rows = [
        (result.name, "ok" if result.ok else "failed", result.reason or _details(result.finding))
        for result in results
    ]
    print_table(title, columns, rows)


def _details(finding: "Finding") -> str:
    if finding.difference is None or finding.time_s is None:
        return finding.detail
    return f"{finding.detail}: difference {finding.difference:.0e}, {1000 * finding.time_s:.1f} ms"
