"""What an operator can choose: one typed object, read from the environment and from flags.

Every field is the environment variable `ENCODEC_<NAME>` and the flag `--<name>` of
`encodec-serve`; the text below a field is its documentation, in `--help` too.
"""

import argparse
import re
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ByteSize, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model_core import __version__
from model_core.checkpoints.registry import WORDS
from model_core.completion import add_completion
from model_core.config import CONFIGS
from model_core.cores import usable_cores
from model_core.engine import EncodePrecision, Precision

ENV_PREFIX = "ENCODEC_"

_URL_BEGINNING = re.compile(
    r"(?P<scheme>https?|s3|gs|gcs|az|abfs|abfss|hf|oci|memory)"
    r"://(?P<host>\*|[A-Za-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/([^?#\\\s]*/)?"
)
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The service's settings. The defaults admit ten hours of audio."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        validate_default=True,
        frozen=True,
        extra="ignore",
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 for any free one."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where the networks run: auto (CUDA where there is one), cpu, cuda or cuda:1."""

    models: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = tuple(CONFIGS)
    """Models that are loaded at the start and kept warm, separated by commas. Others are loaded
    when a request asks for one, see `extra_models`."""
    weights: Annotated[str, Field(min_length=1)] = "auto"
    """Which weights to compress with: auto, bundled, official, hf or a folder of weights."""
    cache_dir: Path | None = None
    """Folder for downloaded weights; by default the Torch Hub cache."""
    extra_models: Annotated[int, Field(ge=1)] = 2
    """Most models that are kept in memory beside the warm ones, for files made with others."""

    backend: Annotated[str, Field(pattern=r"^(auto|torch|cuda|native(-\w+)?)$")] = "auto"
    """What computes the networks: native (compiled, on a CPU), cuda (captured graphs, on a GPU),
    torch (anywhere), or auto (the one made for the device, if it works there, else torch)."""
    decode_precision: Precision = "float32"
    """float32 (the reference's audio); bfloat16, on a GPU or a CPU with AVX512-BF16, where it is
    1.7 to 2 times as fast and adds rounding noise 42 dB below the audio; or tf32, on a GPU. If it
    does not work here, the service does not start. Codes and files do not change."""
    encode_precision: EncodePrecision = "float32"
    """float32 (the reference's codes), or tf32, on a GPU, which changes some codes."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Worker threads on the CPU, each with its own batch; 0 for one per core, within a
    container's quota. Idle ones help the others."""
    max_batch: Annotated[int, Field(ge=0, le=1024)] = 0
    """Blocks in one batch on CUDA. A batch takes the same time and memory however many of them
    are used; 0 measures at the start which number is best. A number makes the choice permanent:
    with another one, the other of two codes that are almost equally near may be chosen. On the CPU
    the backend decides."""
    step_timeout: Seconds = 60
    """Longest time that a batch may take on a GPU, in seconds; loading models does not count. A GPU
    that takes longer is considered dead, and the service ends."""

    spool_dir: Path | None = None
    """Folder for uploads while they are worked on, best on a disk; by default the system's
    temporary folder."""
    max_upload_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(16 * 2**30)
    """Most bytes in a request's body; 2GiB and the like are understood."""
    max_audio_seconds: Seconds = 36_000
    """Longest audio, in seconds."""

    result_cache_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(0)
    """Memory for recent results of /compress and /transcode, which are then answered again without
    work; 0 for none."""
    result_cache_seconds: Seconds = 600
    """How long such a result is kept at most, in seconds."""

    jobs_dir: Path | None = None
    """Folder for long work (`Prefer: respond-async`): its uploads and results, which all replicas
    share. Without one there is no such work."""
    jobs_database: SecretStr | None = None
    """Database of that work, which all replicas share, as SQLAlchemy names it
    (`postgresql+psycopg://user:password@host/name`); by default an SQLite file in the folder, for
    one replica."""
    max_jobs: Annotated[int, Field(ge=1)] = 1000
    """Jobs that are kept, finished ones too; further ones are answered 429."""
    max_job_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 * 2**30)
    """Most bytes of the uploads and results of all jobs; further ones are answered 429."""
    max_running_jobs: Annotated[int, Field(ge=1)] = 2
    """Jobs that run at the same time here, always fewer than `max_requests`, if that is not 1."""
    job_seconds: Seconds = 86_400
    """How long a job and its result are kept after its end, in seconds."""
    job_lease: Seconds = 15
    """Seconds after which a job whose replica has not been heard of is begun again."""
    input_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Beginnings of URLs, separated by commas, from which jobs may take their input (`source=`):
    `https://host/folder/`, `https://*/` for any host, `s3://bucket/folder/` and the like."""
    output_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Beginnings of URLs of buckets, separated by commas, where jobs may put their results
    (`destination=`): `s3://bucket/folder/` and the like."""
    webhook_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Beginnings of URLs, separated by commas, that may be told of a job's end (`webhook=`):
    `https://host/folder/`, `https://*/` for any host."""
    webhook_secret: SecretStr | None = None
    """What webhooks are signed with: `whsec_` and base64 of 24 to 64 bytes."""
    webhook_retry: Seconds = 5
    """Seconds until a webhook that failed is tried again; four times as long after each try."""
    url_timeout: Seconds = 3600
    """Longest time in which a job's input must have come from its URL, in seconds; as long for its
    result."""
    private_urls: bool = False
    """Whether such URLs over HTTP may lead into private networks and to this machine: for internal
    networks where every client is trusted."""

    decoder_timeout: Seconds = 10
    """Seconds without progress after which an audio decoder is replaced."""
    decoder_memory: Annotated[ByteSize, Field(ge=0)] = ByteSize(0)
    """Most memory of all audio decoders together; 0 for a quarter of what the machine or container
    has. Where they need more, the largest is ended, and its upload answered 503."""

    max_requests: Annotated[int, Field(ge=1)] = 64
    """Requests that are worked on at the same time: permits."""
    max_waiting: Annotated[int, Field(ge=0)] = 128
    """Requests that may wait for a permit; further ones are answered 429 at once."""
    admission_timeout: Seconds = 30
    """Longest wait for a permit, in seconds, before the answer is 504."""
    max_open: Annotated[int, Field(ge=1)] = 256
    """Requests that may be open, whether they are worked on or wait for their clients; further ones
    take the place of a client that is overdue, or are answered 429 at once."""
    max_admitted_time: Seconds = 30
    """Seconds that the work of others may take before a request with a permit is done; others wait
    for their permits. It is known from the audio of all and the measured speed."""
    max_admitted_audio: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """The same in seconds of audio, for a limit that does not depend on the speed; 0: as much as is
    done in `max_admitted_time`."""
    max_live: Annotated[int, Field(ge=0)] = 32
    """Open requests that may be live: sources (`live=true`) and streams over WebSocket."""
    max_listeners: Annotated[int, Field(ge=0)] = 256
    """Listeners of all live relays together."""

    read_timeout: Seconds = 60
    """Longest wait for a request's head and for the next bytes of its body, in seconds; a slow
    body is answered 408."""
    write_timeout: Seconds = 60
    """Seconds over which a client must read its answer at `min_rate`, or it is cut off."""
    min_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 500
    """Bytes a second that a client must send and read at least while the service waits for it; 0
    for any. Live sources may send more slowly (`live=true`)."""
    rate_window: Seconds = 30
    """Seconds that a body may fall behind `min_rate`, and for which earlier bytes may count."""
    keep_alive_timeout: Annotated[int, Field(ge=1)] = 5
    """Seconds an idle connection is kept open."""
    shutdown_grace: Annotated[int, Field(ge=0)] = 30
    """Seconds that requests in progress are given to finish when the service is told to stop."""
    shutdown_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """Seconds for which the service still takes requests after SIGTERM, not ready any more, so that
    a load balancer sees it leave before connections are refused."""

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Keys, separated by commas, one of which every call must carry (`Authorization: Bearer KEY`
    or `X-API-Key: KEY`); without keys the service is open to all. Health, metrics and documentation
    are always open."""
    api_keys_file: Path | None = None
    """TOML file with a table for each further key, under its name: `secret` or `sha256`, and
    optionally `weight` (its share of the machine), `concurrent` (requests),
    `audio_seconds_per_minute` and `audio_seconds_per_hour`."""

    page: bool = True
    """Whether the page is served at `/`."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas, whose pages may call the service and open its WebSockets
    (`https://example.org`); `*` for all. The service's own page needs none."""

    tracing: bool = False
    """Whether requests are traced by OpenTelemetry, whose own variables (`OTEL_*`) say where the
    spans go and how many. Needs the extra `otel`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines that are written."""
    log_format: Literal["json", "console"] = "json"
    """Log lines for machines or for people."""

    @property
    def worker_threads(self) -> int:
        """How many worker threads there are: by default one per core that this process may use."""
        return self.threads or usable_cores()

    @field_validator("weights")
    @classmethod
    def _source(cls, value: str) -> str:
        if value not in WORDS and not Path(value).expanduser().is_dir():
            raise ValueError(f"{value!r} is none of {', '.join(WORDS)} and no folder")
        return value

    @field_validator(
        *("models", "api_keys", "cors_origins", "input_urls", "output_urls", "webhook_urls"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        """`a, b` -> `[a, b]`."""
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if value and not parts:
            raise ValueError("it has separators only")
        return parts

    @field_validator("models")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in CONFIGS]
        if unknown:
            raise ValueError(f"no model {unknown[0]!r}; there is {', '.join(CONFIGS)}")
        return tuple(dict.fromkeys(value))

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin, such as https://example.org")
        return value

    @field_validator("input_urls", "output_urls", "webhook_urls")
    @classmethod
    def _url_beginnings(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for url in value:
            found = _URL_BEGINNING.fullmatch(url)
            is_web = found is not None and found["scheme"] in ("http", "https")
            if found is None or (found["host"] == "*" and not is_web):
                raise ValueError(f"{url!r} is no beginning such as https://host/folder/")
            if is_web and info.field_name == "output_urls":
                raise ValueError(f"{url!r} is no bucket")
            if not is_web and info.field_name == "webhook_urls":
                raise ValueError(f"{url!r} is not of the web")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _signing_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        try:
            key = b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not 24 <= len(key) <= 64:
            raise ValueError("it is not whsec_ and base64 of 24 to 64 bytes")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("cache_dir", "spool_dir", "jobs_dir", "api_keys_file", mode="before")
    @classmethod
    def _no_folder(cls, value: Any) -> Any:
        return None if value == "" else value


Kind = TypeVar("Kind", bound=Settings)


def parse_flags(arguments: list[str] | None = None) -> Settings:
    """The settings of the environment and the flags; exits with 2 where they are wrong."""
    return parse_flags_of(Settings, "encodec-serve", arguments)


def parse_flags_of(kind: type[Kind], program: str, arguments: list[str] | None = None) -> Kind:
    """As `parse_flags`, of settings that a program has beside these.

    The flags are made here: the command line of pydantic-settings does not name the variables in
    its help, nor in an error whether a flag or a variable is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [--SETTING VALUE]...",
        description="Serve EnCodec over HTTP.",
        epilog="A flag is stronger than its environment variable. `encodec-serve doctor` says what "
        "is wrong with a machine.",
    )
    for name, field in kind.model_fields.items():
        text = " ".join((field.description or "").split())
        text += f" [{variable(name)}, default: {_shown(field.default)}]"
        parser.add_argument(
            flag(name),
            dest=name,
            default=argparse.SUPPRESS,
            metavar=name.rpartition("_")[2].upper(),
            help=text.replace("%", "%%"),
        )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_completion(parser)
    given = vars(parser.parse_args(arguments))
    try:
        return kind(**given)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            # What is wrong with several together has no place, and names them itself.
            fields = map(str, item["loc"][:1])
            names = [flag(name) if name in given else variable(name) for name in fields]
            lines.append(": ".join([*names, message_of(item)]))
        parser.error("; ".join(lines))


def message_of(error: ErrorDetails) -> str:
    """What a validator says is wrong, without what pydantic puts before it."""
    return error["msg"].removeprefix("Value error, ")


def flag(name: str) -> str:
    """`max_batch` -> `--max-batch`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """`max_batch` -> `ENCODEC_MAX_BATCH`."""
    return ENV_PREFIX + name.upper()


def _shown(default: Any) -> str:
    if default in (None, ()):
        return "none"
    return ",".join(default) if isinstance(default, tuple) else str(default)
