"""Every error that Treadle raises on purpose.

TreadleError
├── BundleError        a bundle is missing, damaged, changed, or of a later format
├── InputError         what was given does not fit the model (also a ValueError)
├── StateError         a stream or a snapshot is used where it cannot be
├── DeviceError        the asked engine or hardware is not what would run
├── DeadlineError      a step or a place was not to be had in time (also a TimeoutError)
├── RecipeError        a training recipe is wrong
├── TrainingError      a training cannot go on: its numbers are no longer finite
├── DataError          a data set is missing, changed or malformed
└── ExportError        a model cannot be exported
    ├── UnsupportedGraph   an operator or attribute that has no faithful export
    ├── ParityError        a rung of the parity ladder is over its tolerance
    └── QualityError       the exported model loses more quality than it may

A message says what was expected, what came, and what to do.
"""


class TreadleError(Exception):
    """Base of every error that Treadle raises on purpose."""


class BundleError(TreadleError):
    """A bundle is missing, damaged, changed, or of a later format."""


class InputError(TreadleError, ValueError):
    """What was given does not fit the model: dtype, shape, length, symbol or value."""


class StateError(TreadleError):
    """A stream or a snapshot is used where it cannot be: closed, in use, or another model's."""


class DeviceError(TreadleError):
    """The asked engine or hardware is missing, or is not what would run."""


class DeadlineError(TreadleError, TimeoutError):
    """A step, or a place in a pool, was not to be had in the time that was given."""


class RecipeError(TreadleError):
    """A training recipe has an unknown key, a wrong type or an impossible value."""


class TrainingError(TreadleError):
    """A training has diverged; names the step, the learning rate and what to try."""


class DataError(TreadleError):
    """A data set is missing, changed or malformed; names the file and line where it can."""


class ExportError(TreadleError):
    """A model cannot be exported."""


class UnsupportedGraph(ExportError):  # noqa: N818 - reads as what it is
    """A graph has an operator or attribute that cannot be exported faithfully."""


class ParityError(ExportError):
    """A rung of the parity ladder is over its tolerance; names the rung."""


class QualityError(ExportError):
    """The exported model loses more of its task's own metric than it may."""
