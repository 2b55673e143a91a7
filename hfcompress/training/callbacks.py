"""Callbacks: a progress bar that knows no terminal, and the sampler's epoch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from hfcompress.progress import Bar, Progress
from hfcompress.training.sampler import ShuffledSampler


class ProgressBarCallback(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Feeds a `Progress` with optimizer steps and the newest training loss; a resumed run starts at its step.

    A training that ends in an error never reaches `on_train_end`: wrap it in `contextlib.closing(callback)`.
    """

    def __init__(self, progress: Progress, description: str) -> None:
        self.progress = progress
        self.description = description
        self._opened: AbstractContextManager[Bar] | None = None
        self._bar: Bar | None = None
        self._shown = 0
        self._note = ""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Open the bar, on the main process only."""
        self.close()
        if state.is_world_process_zero:
            self._opened = self.progress.bar(self.description, total=state.max_steps)
            self._bar = self._opened.__enter__()
            self._shown = 0
            self._advance(state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance by the optimizer steps since the last time."""
        self._advance(state.global_step)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the loss beside the bar."""
        if logs and "loss" in logs:
            self._note = f"loss {float(logs['loss']):.4f}"
            self._advance(state.global_step, always=True)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar if it is open; safe to call at any time."""
        opened, self._opened, self._bar = self._opened, None, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def _advance(self, global_step: int, *, always: bool = False) -> None:
        steps = global_step - self._shown
        if self._bar is not None and (steps > 0 or always):
            self._bar.advance(steps, self._note)
            self._shown = global_step


class SamplerEpochCallback(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Tells the sampler its epoch.

    accelerate forwards `set_epoch` to the sampler of a plain data loader, but not through the wrapper that skips the
    batches already seen when several processes resume: with Transformers 5 they would repeat the order of epoch 0.
    """

    def __init__(self) -> None:
        self.sampler: ShuffledSampler | None = None

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """`state.epoch` is a whole number here, or a fraction of the running epoch after a resume."""
        if self.sampler is not None:
            self.sampler.set_epoch(int(state.epoch or 0))


def remove_default_progress_(trainer: Trainer) -> None:
    """Take away the bars and prints that Transformers adds to every trainer, so that ours is the only one."""
    for callback in (PrinterCallback, ProgressCallback, DEFAULT_PROGRESS_CALLBACK):
        trainer.remove_callback(callback)
