"""The errors that this package raises. Each is also the built-in error that a caller would expect.

A message states what was found, what was expected, and what to do.
"""

from __future__ import annotations


class ImagenetToolsError(Exception):
    """The base class of the errors of this package."""


class UsageError(ImagenetToolsError, ValueError):
    """An option, a word of a selection or a synset was not understood."""


class AmbiguousSynsetError(UsageError):
    """A word names several synsets, and no rule chooses one."""


class UnknownSynsetError(UsageError, LookupError):
    """No synset has this wnid, name or lemma."""


class SourceError(ImagenetToolsError, ValueError):
    """A source was not recognised, is cut short, or contradicts another."""


class FormatError(SourceError):
    """Bytes that do not follow their format: a tar header, an annotation, a table.

    Attributes:
        code: A stable word, for the column code of the table problems.
        member: The part of the container that is meant, or "".
    """

    def __init__(self, message: str, *, code: str = "bad_format", member: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.member = member


class NoIndexError(ImagenetToolsError, ValueError):
    """An index is missing, unfinished, or has another schema version."""


class QueryError(ImagenetToolsError, ValueError):
    """A query was refused, or DuckDB reported an error in it."""


class ExportError(ImagenetToolsError, ValueError):
    """An export cannot be written as requested, or does not agree with its index."""


class ExistsError(ImagenetToolsError, FileExistsError):
    """The target exists, or another process is writing it. Nothing was changed."""
