"""Names of files: how each kind ends."""

ECDC = ".ecdc"
WAV = ".wav"
DECODED = {
    WAV: "wav",
    ".flac": "flac",
    ".opus": "opus",
    ".ogg": "opus",
    ".mp3": "mp3",
    ".f32": "f32",
    ".s16": "s16",
}
"""The format (`audio.FORMATS`) of a decompressed file, by its name."""
AUDIO = {
    *(".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape"),
    *(".au", ".avi", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".flac", ".flv"),
    *(".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpc"),
    *(".oga", ".ogg", ".opus", ".ra", ".rf64", ".snd", ".spx", ".tak", ".tta"),
    *(".voc", ".w64", ".wav", ".webm", ".wma", ".wmv", ".wv"),
}
"""Names that a folder is searched for; an input that is named itself may have any."""
