"""The JSON documents of the service, as its OpenAPI document describes them."""

from typing import Any, Literal, TypedDict


class CodesSegment(TypedDict):
    """A second of the 48 kHz model, or all of the 24 kHz model's audio."""

    offset: int
    """Its first sample."""
    samples: int
    scale: float | None
    codes: list[list[int]]
    """`[codebooks][frames]`."""


class Codes(TypedDict):
    """What `/codes` answers."""

    model: str
    sample_rate: int
    audio_length: int
    bandwidth: float
    num_codebooks: int
    frame_rate: int
    codebook_size: int
    segments: list[CodesSegment]


class Inspection(TypedDict):
    """What `/inspect` answers; the service's OpenAPI document describes each field."""

    version: int
    model: str
    weights: str | None
    lm_weights: str | None
    weights_available: bool
    duration_seconds: float | None
    audio_length: int | None
    sample_rate: int | None
    channels: int | None
    codebooks: int
    bandwidth_kbps: float | None
    kbps: float | None
    lm: bool
    frames: int | None
    header_bytes: int
    payload_bytes: int
    expected_payload_bytes: int | None
    trailing_bytes: int
    intact: bool | None
    note: str | None
    chunks: int | None
    original: dict[str, Any] | None
    tags: Any


class JobProgress(TypedDict):
    """How far a job is."""

    seconds: float
    """Of audio."""
    share: float | None
    """0 to 1; None where it cannot be told."""


class Job(TypedDict):
    """What `/jobs/{id}` answers."""

    id: str
    call: Literal["compress", "decompress", "roundtrip"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: JobProgress
    created: str
    started: str | None
    finished: str | None
    expires: str | None
    input_bytes: int | None
    result_bytes: int | None
    destination: str | None
    webhook: Literal["pending", "delivered", "failed"] | None
    problem: dict[str, Any] | None
    """Why it failed."""
    links: dict[str, str]


class ModelInfo(TypedDict):
    """A model of `/models`."""

    name: str
    state: Literal["starting", "ready", "failed"]
    ready: bool
    sample_rate: int
    channels: int
    frame_rate: int
    codebook_size: int
    bandwidths: list[dict[str, Any]]
    device: str
    backend: str | None
    max_batch: int | None
    captured: bool | None
    encode_precision: str | None
    decode_precision: str | None
    weights: dict[str, Any] | None
    network: dict[str, Any] | None
    language_model: dict[str, Any] | None
