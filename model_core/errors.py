"""Every error the codec raises on purpose."""

EMPTY_NAME = "a name is empty; the current folder is ."
"""What commands say of a name (of a variable of the shell that is not set perhaps) that `Path`
takes for that folder."""


class EncodecError(Exception):
    """Base of every error raised on purpose by `model_core`."""


class InvalidAudioError(EncodecError):
    """The audio cannot be read, or its shape or samples cannot be encoded."""


class AudioTooLongError(InvalidAudioError):
    """The audio is longer than the caller admits."""


class UnsupportedBandwidthError(EncodecError, ValueError):
    """The model does not offer the requested bandwidth (kbps)."""


class UnknownModelError(EncodecError, ValueError):
    """No model of that name exists."""


class BitstreamError(EncodecError):
    """The bytes are not a valid `.ecdc` file."""


class TruncatedBitstreamError(BitstreamError, EOFError):
    """The `.ecdc` bytes end before the audio they announce."""


class VerificationError(EncodecError):
    """What was coded does not decode to what it was coded from: the machine or its build fails."""


class WeightsError(EncodecError):
    """A checkpoint file is wrong (checksum, keys, shapes, pickle); the message names the file."""


class WeightsUnavailableError(EncodecError):
    """The weights (or the language model) that are needed are not available here."""


class SettingsError(EncodecError):
    """A setting of a training run that cannot be."""


class TrainingDataError(EncodecError):
    """Recordings, a manifest or a cache that cannot be trained on; the message names it."""


class MissingProgramError(EncodecError):
    """A program, or data that it needs, is not installed; the message says what to install."""
