"""Steps of training replayed as CUDA graphs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Step = Callable[[Tensor, Tensor], Tensor]

# Steps of a size that run before one is recorded: libraries and optimisers then have what they need
_N_BEFORE = 3


class StepGraphs:
    """A step of training, recorded once for each number of rows and then replayed.

    Networks of this size are hundreds of kernels, each of which takes the accelerator a few
    microseconds and the host more than that to launch. A replay launches all of them at once.

    Parameters
    ----------
    step
        Takes the positions of the cells of a minibatch, shape ``(n_rows,)``, and weights, shape
        ``(n_weights,)``, and returns a tensor of results. What it does may depend on the values
        of both only through tensors on the device, for which it may not wait.
    """

    def __init__(self, step: Step) -> None:
        self._step = _without_a_warning(step)
        # What is recorded must have run before on the same stream
        self._stream = torch.cuda.Stream()
        self._n_run: dict[int, int] = {}
        self._recorded: dict[int, _Recorded] = {}

    def __call__(self, positions: Tensor, weights: Tensor) -> Tensor:
        """One step; its results are overwritten by the next one."""
        n_rows = len(positions)
        n_run = self._n_run.get(n_rows, 0)
        if n_run < _N_BEFORE:
            self._n_run[n_rows] = n_run + 1
            return self._run(positions, weights)
        if n_rows not in self._recorded:
            self._recorded[n_rows] = _Recorded(self._step, positions, weights, self._stream)
        return self._recorded[n_rows](positions, weights)

    def _run(self, positions: Tensor, weights: Tensor) -> Tensor:
        now = torch.cuda.current_stream()
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            results = self._step(positions, weights)
        now.wait_stream(self._stream)
        return results


def _without_a_warning(step: Step) -> Step:
    """The step without PyTorch's advice on gradients that come from several streams."""

    def quiet(positions: Tensor, weights: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream")
            return step(positions, weights)

    return quiet


class _Recorded:
    """One recorded step, with the memory of its inputs and results."""

    def __init__(
        self, step: Step, positions: Tensor, weights: Tensor, stream: torch.cuda.Stream
    ) -> None:
        self._inputs = positions.clone(), weights.clone()
        self._graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the device meanwhile
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self._results = step(*self._inputs)
        except RuntimeError as error:
            msg = (
                "A step of training could not be recorded as a CUDA graph. Train with "
                "`datasplitter_kwargs={'steps_at_once': 1}`, which records none."
            )
            raise RuntimeError(msg) from error

    def __call__(self, positions: Tensor, weights: Tensor) -> Tensor:
        for kept, new in zip(self._inputs, (positions, weights), strict=True):
            kept.copy_(new)
        self._graph.replay()
        return self._results
