"""Parts of a step that need nothing of each other."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class Branches:
    """Parts of a step that need nothing of each other, one after the other or side by side.

    The operations of a step are too small to fill an accelerator, so that several parts take
    hardly longer than the longest of them. Gradients of a part are computed where it was.

    Parameters
    ----------
    apart
        Whether each part has a CUDA stream of its own. It costs the host some time, which a
        recorded step spends once only.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self._apart = apart
        self._streams: dict[str, torch.cuda.Stream] = {}
        self._open: set[str] = set()
        self._start: torch.cuda.Event | None = None

    def fork(self) -> None:
        """Let the branches that follow wait for what was asked for so far, and no more."""
        if self._apart:
            self._start = torch.cuda.current_stream().record_event()

    @contextmanager
    def branch(self, name: str) -> Iterator[None]:
        """Run what is inside beside the rest; what it makes may be used after :meth:`join`.

        What it uses of the rest should be kept until then.
        """
        if self._start is None:
            yield
            return
        stream = self._streams.setdefault(name, torch.cuda.Stream())
        stream.wait_event(self._start)
        self._open.add(name)
        with torch.cuda.stream(stream):
            yield

    def join(self, *made: Tensor) -> None:
        """Wait for the branches, and take over what they made."""
        if self._start is None:
            return
        trunk = torch.cuda.current_stream()
        while self._open:
            trunk.wait_stream(self._streams[self._open.pop()])
        for tensor in made:
            # Else the branch may write its next tensor there before the rest has read it
            tensor.record_stream(trunk)
