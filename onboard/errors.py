"""Every way a run can end badly, as typed exceptions with documented exit codes.

An exception here carries one clear line that names the thing (file, band, bundle) and the reason. Modules raise them;
the shell (`onboard/cli`) logs them once and turns them into an exit code. Nothing else calls `sys.exit`.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_NO_INPUT = 4
EXIT_BUNDLE = 5
EXIT_STORE = 6
EXIT_DISK_FULL = 7
EXIT_INTERRUPTED = 130

EXIT_CODES_HELP = """exit codes:
  0    every acquisition was looked at
  1    internal error (a bug: please report the log line)
  2    wrong usage
  3    finished, but some acquisitions or parts were refused; summary.json counts them
  4    nothing usable in STREAM
  5    the model bundle is damaged, does not fit the stream, or cannot run
  6    the store is of another version, damaged or locked
  7    the disk is full; what was stored before is kept, run again to continue
  130  interrupted; run again to continue
"""


class OnboardError(Exception):
    """Base of all expected faults. `str(error)` is one line for a person."""

    exit_code = EXIT_INTERNAL
    kind = "error"


class UsageError(OnboardError):
    """The command was called in a way it does not take."""

    exit_code = EXIT_USAGE
    kind = "usage"


class InputError(OnboardError):
    """An acquisition, or part of one, cannot be used. The rest of the stream goes on.

    Args:
        where: the file, product or stream the fault lies in.
        reason: why it cannot be used, in words an operator can act on.
        kind: the counter in `summary.json` that this fault raises, e.g. `missing-band`.
    """

    exit_code = EXIT_PARTIAL

    def __init__(self, where: str, reason: str, kind: str = "unreadable") -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.kind = kind


class EmptyStreamError(OnboardError):
    """STREAM holds nothing that could be looked at."""

    exit_code = EXIT_NO_INPUT
    kind = "empty-stream"


class BundleError(OnboardError):
    """The model bundle is damaged, of another format, or asks for what the stream does not have."""

    exit_code = EXIT_BUNDLE
    kind = "bundle"


class ModelError(OnboardError):
    """A loaded model stopped giving what it should: known answers, hash, latents, time. Another one may go on."""

    exit_code = EXIT_BUNDLE
    kind = "model-fault"


class StoreError(OnboardError):
    """The store is of another version, damaged beyond its own recovery, or locked by another run."""

    exit_code = EXIT_STORE
    kind = "store"


class DiskFullError(OnboardError):
    """No space left while writing; everything committed before stays."""

    exit_code = EXIT_DISK_FULL
    kind = "disk-full"
