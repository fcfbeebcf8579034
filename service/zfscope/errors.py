"""What can go wrong, in words for the person who asked.

    ZfscopeError
    |-- InputError           an image, tensor or parameter that cannot be used
    |   `-- TooLarge         an image over a limit
    |-- NotFound             no model, version, layer or unit of that name
    |-- DamagedModel         a stored model that is not what its manifest states
    |-- DamagedIndex         an index that is not what its manifest states
    |-- FetchFailed          a package of published weights that cannot be had, or lacks a file
    |-- CannotWrite          a file that the system does not let be written: a full disk, no permission
    |-- NotReady             the service is still loading, or is shutting down
    |-- TooMuchWork          more work than one request may ask for
    |   `-- Busy             more requests at once than the service takes
    |-- Unauthenticated      no token, or none that the service knows
    |-- Cancelled            the caller cancelled, or its deadline passed
    |   `-- TooLate          the deadline passed while the request was worked on
    |-- BrokenPlugin         an installed analyzer that does not fit
    |-- AnalyzerFailed       a fault of an analyzer, which its package has to mend
    |-- MissingExtra         an optional part of zfscope that is not installed
    `-- RuntimeUnavailable   a forward runtime, or the engine of a scan, that cannot be used, here or now

    BadAnalysis              what an analyzer returned cannot be sent; its caller gets AnalyzerFailed

A message names the thing, the value, what is allowed and what to do. None of these
classes knows of gRPC: `zfscope.wire.status` maps each to one status.
"""

from collections.abc import Mapping


class ZfscopeError(Exception):
    """Base of all errors that ZFScope raises on purpose.

    `field` is the path of the request field that is wrong (`image.encoded`, `units[2].y`),
    empty where no single field is. `fields` says of each what is wrong, where several are.
    """

    def __init__(self, message: str, *, field: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.fields = dict(fields or {})


class InputError(ZfscopeError):
    """An image, tensor or parameter that cannot be used."""


class TooLarge(InputError):
    """An image of more bytes or pixels than are allowed."""


class NotFound(ZfscopeError):
    """No model, version, layer or unit of that name."""


class DamagedModel(ZfscopeError):
    """A stored model that is not what its manifest states; the message names model, version and file."""


class DamagedIndex(ZfscopeError):
    """An index that is not what its manifest states; the message names it, the file and what to do."""


class FetchFailed(ZfscopeError):
    """A package of published weights that cannot be downloaded, or that lacks what it should hold."""


class CannotWrite(ZfscopeError):
    """A file that cannot be written, and of which no part is left. `reason` is what the system says."""

    def __init__(self, message: str, *, reason: str = "", field: str = "") -> None:
        super().__init__(message, field=field)
        self.reason = reason


class NotReady(ZfscopeError):
    """The service is still loading, or is shutting down."""


class TooMuchWork(ZfscopeError):
    """More work than one request may ask for."""


class Busy(TooMuchWork):
    """More requests at once than the service takes; one of them may be sent again soon."""


class Unauthenticated(ZfscopeError):
    """The service asks for a token, and got none that it knows."""


class Cancelled(ZfscopeError):
    """The caller cancelled or went away, or its deadline passed."""


class TooLate(Cancelled):
    """The deadline of a request passed while it was worked on."""


class BrokenPlugin(ZfscopeError):
    """An installed analyzer that cannot be loaded, or does not fit the contract."""


class AnalyzerFailed(ZfscopeError):
    """A fault of an analyzer: it raised what nobody expects, or gave what cannot be sent.

    `analyzer` is its name; `package` and `version` are those of its distribution, empty where there is none.
    """

    def __init__(self, message: str, *, analyzer: str = "", package: str = "", version: str = "") -> None:
        super().__init__(message)
        self.analyzer, self.package, self.version = analyzer, package, version


class MissingExtra(ZfscopeError, ImportError):
    """An optional part of zfscope that is not installed; the message says what to install."""


class RuntimeUnavailable(ZfscopeError):
    """A forward runtime, or who runs a scan, that cannot be used, here or at the moment."""


class BadAnalysis(Exception):
    """An analysis, or a cost, that cannot be sent: it becomes AnalyzerFailed, as any fault of an analyzer."""
