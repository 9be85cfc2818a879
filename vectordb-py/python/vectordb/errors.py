"""What can go wrong: one class for each kind, each of them also the builtin that fits.

``except vectordb.Error`` catches all of them; ``except ValueError`` those that are about a value, and so on. An error about one
row of a batch has that row as its attribute ``row``.
"""

from __future__ import annotations


class Error(Exception):
    """Anything that goes wrong in this package."""

    row: int | None = None
    """The row of the batch that is at fault, where there is one."""


class CollectionNotFound(Error, KeyError):
    """No collection of this name exists."""

    # A KeyError shows its message in quotes.
    __str__ = Exception.__str__


class CollectionExists(Error, ValueError):
    """A collection of this name exists already."""


class PointNotFound(Error, KeyError):
    """No point has this id."""

    __str__ = Exception.__str__


class VectorNotFound(Error, KeyError):
    """The collection has no vector of this name."""

    __str__ = Exception.__str__


class DimensionMismatch(Error, ValueError):
    """A vector has the wrong number of dimensions."""


class InvalidVector(Error, ValueError):
    """A vector holds NaN, an infinity, or something that is no number."""


class WrongVectorKind(Error, ValueError):
    """A vector is dense where the collection has a sparse one, or the like."""


class LengthMismatch(Error, ValueError):
    """There are not as many vectors or payloads as ids."""


class InvalidId(Error, ValueError):
    """An id is not an integer from 0 to 2**64 - 1, a UUID or a str of 1 to 256 bytes."""


class InvalidName(Error, ValueError):
    """The name of a collection, a vector or a field breaks the rules of its kind."""


class InvalidConfig(Error, ValueError):
    """A setting is out of range or contradicts another."""


class InvalidFilter(Error, ValueError):
    """A filter cannot be read; the message says where."""


class InvalidPayload(Error, TypeError):
    """A payload is not a dict, or holds what JSON cannot."""


class InvalidQuery(Error, ValueError):
    """A query or one of its parameters makes no sense."""


class InvalidSnapshot(Error, ValueError):
    """A file is no snapshot of a collection that can be read here."""


class LimitExceeded(Error, ValueError):
    """Something is larger than the engine accepts."""


class Unsupported(Error, NotImplementedError):
    """This version of the engine cannot do that."""


class Locked(Error, RuntimeError):
    """Another process writes to the directory; the message names it. Open it with ``read_only=True``."""


class ReadOnly(Error, PermissionError):
    """A write to a database that was opened read-only."""


class Closed(Error, RuntimeError):
    """The database was closed, or the collection was dropped."""


class Forked(Error, RuntimeError):
    """The process that opened the database forked, and this is its child."""


class DiskFull(Error, OSError):
    """The disk is full, or nearly so. Reads and deletions go on."""


class OutOfMemory(Error, MemoryError):
    """The database may not take more memory. Reads and deletions go on."""


class Corrupted(Error, RuntimeError):
    """A file does not hold what was written to it; the message names the file and the place."""


class IoError(Error, OSError):
    """The operating system refused."""


class Timeout(Error, TimeoutError):
    """The time ran out before the answer was complete."""


class Cancelled(Error, RuntimeError):
    """The caller gave up."""


class Poisoned(Error, RuntimeError):
    """An earlier write failed in a way that leaves unknown what is on the disk; open the database again."""


class InternalError(Error, RuntimeError):
    """A fault of the engine; please report it."""


class MissingDependency(Error, ImportError):
    """An optional package is not installed; the message says which."""
