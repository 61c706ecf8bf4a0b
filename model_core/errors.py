"""Every error the codec raises on purpose.

EncodecError
├── InvalidAudioError         samples, container or stream that cannot be encoded
│   └── AudioTooLongError     more audio than the caller admits
├── UnsupportedBandwidthError the model has no such bandwidth        (also a ValueError)
├── UnknownModelError         no model of that name                  (also a ValueError)
├── BitstreamError            `.ecdc` bytes that cannot be decoded
│   └── TruncatedBitstreamError  they end too early                  (also an EOFError)
├── WeightsError              a checkpoint that is wrong: checksum, keys, shapes, pickle
├── WeightsUnavailableError   weights (or a language model) that are not here
├── SettingsError             a setting of a training run that cannot be
├── TrainingDataError         recordings, a manifest or a cache that cannot be trained on
└── MissingProgramError       a program (or its data) that has to be installed first
"""


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


class WeightsError(EncodecError):
    """A checkpoint file is not what it should be; the message names the file."""


class WeightsUnavailableError(EncodecError):
    """The weights (or the language model) that are needed are not available here."""


class SettingsError(EncodecError):
    """A setting of a training run that cannot be."""


class TrainingDataError(EncodecError):
    """Recordings, a manifest or a cache that cannot be trained on; the message names it."""


class MissingProgramError(EncodecError):
    """A program, or data that it needs, is not installed; the message says what to install."""
