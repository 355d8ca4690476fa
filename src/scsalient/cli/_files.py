"""Files that are either written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_output(output: Path, *, source: Path | None = None, overwrite: bool) -> None:
    """Check that a file may be written, before anything slow is done for it.

    Parameters
    ----------
    output
        File to write.
    source
        File that must not be touched.
    overwrite
        Whether ``output`` may exist already.

    Raises
    ------
    ValueError
        When ``output`` is ``source``, by whatever path, or exists, or is a folder, or has no name
        that ends in .h5ad.
    OSError
        When its folder does not exist or cannot be written.
    """
    if source is not None and _same(output, source):
        msg = (
            f"`--output` should be another file than the input, found {str(output)!r}, which is "
            "the input. Choose another name."
        )
        raise ValueError(msg)
    if output.is_dir():
        msg = f"`--output` should be a file, found the folder {str(output)!r}."
        raise ValueError(msg)
    if output.suffix.lower() != ".h5ad":
        msg = (
            f"`--output` should end in .h5ad, the format that is written, found {str(output)!r}. "
            "Choose another name."
        )
        raise ValueError(msg)
    if output.exists() and not overwrite:
        msg = (
            f"`--output` should be a new file, found {str(output)!r}, which exists. Choose another "
            "name, or pass `--overwrite`."
        )
        raise ValueError(msg)
    check_writable(output.parent)


def check_writable(folder: Path) -> None:
    """Check that a file can be made in a folder.

    Raises
    ------
    OSError
        When it is no folder or cannot be written.
    """
    if not folder.is_dir():
        msg = f"The folder {str(folder)!r} does not exist. Make it first."
        raise NotADirectoryError(msg)
    try:
        # Permissions alone do not tell: the file system may be read-only or full
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        msg = f"The folder {str(folder)!r} cannot be written to: {error.strerror}."
        raise PermissionError(msg) from error


@contextmanager
def written_whole(output: Path) -> Iterator[Path]:
    """Path of a temporary file beside ``output``, which becomes ``output`` if all goes well.

    Parameters
    ----------
    output
        File to write. A link is replaced, not followed.

    Yields
    ------
    Path to write to. On an error or an interrupt the file is removed and ``output`` stays as
    it was.
    """
    # A short name: that of the file may be as long as names can be
    part = output.with_name(f".{os.getpid()}.part{output.suffix}")
    try:
        yield part
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    # `samefile` also sees hard links, but asks for files that exist
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
