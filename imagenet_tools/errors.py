"""The errors this package raises, each also the builtin that a caller would expect.

A message says what was found, what was expected and what to do.
"""

from __future__ import annotations


class ImagenetToolsError(Exception):
    """The base of every error of this package."""


class UsageError(ImagenetToolsError, ValueError):
    """An option, a word of a selection or a synset was not understood."""


class AmbiguousSynsetError(UsageError):
    """A word names several synsets, and nothing decides between them."""


class UnknownSynsetError(UsageError, LookupError):
    """No synset has this wnid, name or lemma."""


class SourceError(ImagenetToolsError, ValueError):
    """A source was not recognised, is cut short, or contradicts another."""


class FormatError(SourceError):
    """Bytes are not what their container says: a tar header, an annotation, a table.

    `code` is a word that does not change, fit for the column code of the table problems; `member` is the part of the
    container that is meant, where one is.
    """

    def __init__(self, message: str, *, code: str = "bad_format", member: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.member = member


class NoIndexError(ImagenetToolsError, ValueError):
    """An index is missing, unfinished, or of another schema."""


class QueryError(ImagenetToolsError, ValueError):
    """A query was refused, or DuckDB found it wrong."""


class ExportError(ImagenetToolsError, ValueError):
    """An export cannot be made as asked, or does not agree with its index."""


class ExistsError(ImagenetToolsError, FileExistsError):
    """The target exists, or another process is writing it. Nothing was changed."""
