"""Exceptions raised by ZFScope.

    ZfscopeError
    |-- InputError           an invalid image, tensor or parameter
    |   `-- TooLarge         an image over a limit
    |-- NotFound             a model, version, layer or unit that does not exist
    |-- DamagedModel         a stored model that does not match its manifest
    |-- DamagedIndex         an index that does not match its manifest
    |-- FetchFailed          a package of published weights that cannot be downloaded or lacks a file
    |-- CannotWrite          a file that cannot be written: disk full, permission denied
    |-- NotReady             the service is still loading or is shutting down
    |-- TooMuchWork          more work than one request is allowed
    |   `-- Busy             more concurrent requests than the service accepts
    |-- Unauthenticated      a missing or unknown token
    |-- Forbidden            something that the operator does not allow
    |-- Cancelled            the caller cancelled or its deadline passed
    |   `-- TooLate          the deadline passed while the request was running
    |-- BrokenPlugin         an installed analyzer that violates the contract
    |-- AnalyzerFailed       a bug in an analyzer, to be fixed in its package
    |-- MissingExtra         an optional part of zfscope that is not installed
    `-- RuntimeUnavailable   a forward runtime or engine that is not available

    BadAnalysis              an invalid result of an analyzer; callers get AnalyzerFailed

A message states what is wrong, the value, what is allowed and what to do. These classes do not
depend on gRPC: `zfscope.wire.status` maps each to a status.
"""

from collections.abc import Mapping


class ZfscopeError(Exception):
    """Base class of all errors that ZFScope raises deliberately.

    `field` is the path of the invalid request field (`image.encoded`, `units[2].y`), empty if the error is
    not about a single field. `fields` maps each invalid field to its message if there are several.
    """

    def __init__(self, message: str, *, field: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.fields = dict(fields or {})


class InputError(ZfscopeError):
    """An invalid image, tensor or parameter."""


class TooLarge(InputError):
    """An image that exceeds the limit of bytes or pixels."""


class NotFound(ZfscopeError):
    """A model, version, layer or unit that does not exist."""


class DamagedModel(ZfscopeError):
    """A stored model that does not match its manifest; the message names model, version and file."""


class DamagedIndex(ZfscopeError):
    """An index that does not match its manifest; the message names index and file and says what to do."""


class FetchFailed(ZfscopeError):
    """A package of published weights that cannot be downloaded or is incomplete."""


class CannotWrite(ZfscopeError):
    """A file that cannot be written; no partial file remains. `reason` is the operating system's message."""

    def __init__(self, message: str, *, reason: str = "", field: str = "") -> None:
        super().__init__(message, field=field)
        self.reason = reason


class NotReady(ZfscopeError):
    """The service is still loading or is shutting down."""


class TooMuchWork(ZfscopeError):
    """More work than one request is allowed."""


class Busy(TooMuchWork):
    """More concurrent requests than the service accepts; retry after a moment."""


class Unauthenticated(ZfscopeError):
    """A missing or unknown token for a service that requires one."""


class Forbidden(ZfscopeError):
    """A request that the operator of the service or the page does not allow."""


class Cancelled(ZfscopeError):
    """The caller cancelled or disconnected, or its deadline passed."""


class TooLate(Cancelled):
    """The deadline of a request passed while it was running."""


class BrokenPlugin(ZfscopeError):
    """An installed analyzer that cannot be loaded or violates the contract."""


class AnalyzerFailed(ZfscopeError):
    """A bug in an analyzer: it raised an unexpected exception or returned an invalid result.

    `analyzer` is its name; `package` and `version` are those of its distribution, empty if unknown.
    """

    def __init__(self, message: str, *, analyzer: str = "", package: str = "", version: str = "") -> None:
        super().__init__(message)
        self.analyzer, self.package, self.version = analyzer, package, version


class MissingExtra(ZfscopeError, ImportError):
    """An optional dependency of zfscope that is not installed; the message names the extra to install."""


class RuntimeUnavailable(ZfscopeError):
    """A forward runtime or engine that is not available on this machine or at the moment."""


class BadAnalysis(Exception):
    """An invalid result or cost of an analyzer; translated into AnalyzerFailed like any other bug in it."""
