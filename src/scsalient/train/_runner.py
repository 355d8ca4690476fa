"""scvi-tools' train runner, which an analyst can stop by hand."""

from __future__ import annotations

import inspect
import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from scvi.train import Trainer, TrainRunner

from scsalient._wording import counted, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Weights stay in single precision
_PRECISIONS = ("32-true", "32", "16-mixed", "bf16-mixed")


class InterruptibleTrainRunner(TrainRunner):
    """Train runner that keeps the model trained so far when the user presses Ctrl-C.

    The first Ctrl-C ends training after the current minibatch and returns as if training had
    ended; a second one raises `KeyboardInterrupt`.
    """

    def __call__(self) -> None:
        """Run the training."""
        with self._stop_on_interrupt():
            super().__call__()

    @contextmanager
    def _stop_on_interrupt(self) -> Iterator[None]:
        previous = signal.getsignal(signal.SIGINT)
        # Python delivers signals to the main thread only, and where it is embedded in another
        # programme, the handler may be that one's own
        if threading.current_thread() is not threading.main_thread() or previous is None:
            yield
            return
        n_pressed = 0

        def stop(signum: int, frame: Any) -> None:
            nonlocal n_pressed
            n_pressed += 1
            if n_pressed > 1:
                raise KeyboardInterrupt
            self.trainer.should_stop = True
            # Whoever presses it wants no minimum
            self.trainer.fit_loop.min_epochs = 0
            self.trainer.fit_loop.epoch_loop.min_steps = 0

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        except SystemExit as error:
            # Lightning ends the process where a user wants back to the prompt
            if n_pressed > 1:
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
        if n_pressed:
            msg = (
                f"Training was interrupted after {self.trainer.current_epoch} of "
                f"{counted(self.trainer.max_epochs, 'epoch')}. The model keeps what it has learned "
                "so far."
            )
            warnings.warn(msg, UserWarning, stacklevel=3)


def check_trainer_arguments(arguments: dict[str, Any], *, ours: Iterable[str]) -> None:
    """Check that scvi-tools' or Lightning's trainer has the arguments that are left over.

    Parameters
    ----------
    arguments
        Arguments by name.
    ours
        Arguments of ``train`` itself, one of which may be meant.

    Raises
    ------
    TypeError
        When neither trainer has one of them.
    ValueError
        When a trial run is asked for, which keeps nothing, or a precision that models do not have.
    """
    known = {"ckpt_path", "trainer_config", "save_log_on_disk"}
    for trainer in (Trainer, pl.Trainer):
        known |= set(inspect.signature(trainer).parameters)
    for name in arguments:
        if name in known:
            continue
        msg = f"`train` has no argument `{name}`, nor has the trainer."
        if name in ("background_indices", "target_indices"):
            msg += " Groups are told by a column of `adata.obs`: see `setup_anndata`."
        else:
            msg += did_you_mean(name, [*ours, *known]) or " Look at its signature."
        raise TypeError(msg)
    if arguments.get("fast_dev_run"):
        msg = (
            "`fast_dev_run` should be left out, found "
            f"{arguments['fast_dev_run']!r}: it keeps no history. Train for `max_epochs=1`."
        )
        raise ValueError(msg)
    precision = arguments.get("precision")
    if precision is not None and str(precision) not in _PRECISIONS:
        msg = f"`precision` should be one of {list(_PRECISIONS)}, found {precision!r}."
        raise ValueError(msg)
