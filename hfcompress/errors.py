"""Every error that hfcompress raises on purpose, in one tree.

Each class carries the exit code that the command line returns for it: 2 for bad input, 3 for a stage that failed, 4
for a Hub that did not take what was published. An exception outside this tree is a defect of ours and ends with exit
code 70.
"""

from __future__ import annotations

from typing import ClassVar

from hfcompress.credentials import hide_credentials


class HfcompressError(Exception):
    """Base of all errors raised on purpose; the message says what, with which value, and the way out.

    Messages quote values and other libraries' words: what looks like a credential in them is hidden.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, *args: object) -> None:
        super().__init__(*(hide_credentials(arg) if isinstance(arg, str) else arg for arg in args))


class InputError(HfcompressError):
    """What the user gave cannot be used; found before any long work."""

    exit_code: ClassVar[int] = 2


class RecipeError(InputError):
    """The recipe is not valid; names every wrong field."""


class DataError(InputError):
    """The dataset lacks a column, a split or rows, or its labels cannot be used."""


class ModelError(InputError):
    """The model folder or Hub id cannot be loaded, or does not fit the task."""


class UnsafeError(ModelError):
    """A file of a model could harm whoever opens it: code, a way out of its folder, bounds beyond it, absurd sizes."""


class LeakError(InputError):
    """What was to be published holds what must not leave this machine; nothing was sent."""


class ExtraError(InputError):
    """An optional package is not installed; the message holds the exact install command."""


class RunFolderError(InputError):
    """The run folder cannot be used: not writable, no space, or held by another process."""


class ProviderError(InputError):
    """The execution provider that was asked for is not the one in use."""


class LaunchError(InputError):
    """The processes that run are not those that were asked for, or do not share a run folder."""


class StageError(HfcompressError):
    """A stage ran and could not give a sound artifact."""

    exit_code: ClassVar[int] = 3


class TrainingDivergedError(StageError):
    """The loss or the weights became NaN or infinite."""


class NumericalMismatchError(StageError):
    """An exported model does not answer as the model it came from."""


class MeasurementError(StageError):
    """An artifact could not be measured."""


class PublishError(HfcompressError):
    """The Hub did not take what was to be published; what is here is untouched, and the same command tries again."""

    exit_code: ClassVar[int] = 4


class SmallerBatchError(StageError):
    """A process ran out of memory, and what makes the next try fit is recorded: the same command goes on."""

    exit_code: ClassVar[int] = 75  # sysexits.h, EX_TEMPFAIL


class Terminated(SystemExit):
    """SIGTERM came. Not an `Exception`, so that nothing on the way catches it; uncaught it is exit code 143.

    Attributes:
        saved: the checkpoint that was saved before, if any, in words.
    """

    def __init__(self, saved: str | None = None) -> None:
        super().__init__(143)
        self.saved = saved
