"""Streams of one client: `/live/compress` and `/live/decompress`."""

from collections.abc import Iterable, Iterator
from contextlib import aclosing

from model_core.audio.samples import Samples
from model_core.codec import Codec, Recording
from model_core.codec.streaming import StreamDecompressor
from model_core.config import CONFIGS, ModelConfig
from model_core.ecdc.v1 import Chunk, Layout, Parser

from ..http.problems import Problem, ProblemCode
from . import parameters
from .session import Session, connected
from .sound import Sink, compressed, compressor_of


async def compress(session: Session) -> None:
    """Audio in, a version 1 file out."""
    wanted = parameters.parse(parameters.Compress, session.websocket.query_params)
    async with connected(session):
        codec = await codec_for(session, wanted)
        async with aclosing(compressed(session, wanted, codec)) as pieces:
            async for data in pieces:
                await session.send(data)
        await session.end(complete=True)


async def codec_for(session: Session, wanted: parameters.Compress) -> Codec:
    """The codec of a stream that is compressed, once the client knows that its parameters are good.
    Raises `Problem` and `EncodecError`."""
    found = await session.app.models.for_compression(wanted.model, wanted.lm)
    require_causal(found.config)
    codec: Codec = await session.app.models.on_cpu(found)
    header = compressor_of(session, wanted, codec, Recording()).header
    session.is_of(header.model, codec.config.sample_rate)
    await session.ready(
        model=header.model,
        sample_rate=wanted.sample_rate or codec.config.sample_rate,
        bandwidth=wanted.bandwidth,
        num_codebooks=header.num_codebooks,
        chunk=header.chunk,
        step=min(header.chunk, codec.engine.block_frames),
        lm=wanted.lm,
        input=wanted.input,
    )
    return codec


def require_causal(config: ModelConfig) -> None:
    """Raises `Problem` 422 for a model whose codes need what comes after them."""
    if not config.causal:
        causal = ", ".join(known.name for known in CONFIGS.values() if known.causal)
        detail = f"live audio takes {causal}, not {config.name}"
        raise Problem(ProblemCode.UNKNOWN_MODEL, detail)


async def decompress(session: Session) -> None:
    """A version 1 stream in, PCM out."""
    wanted = parameters.parse(parameters.Decompress, session.websocket.query_params)
    parser = Parser(late=True)
    decoded: Decoded | None = None
    async with connected(session):
        session.app.models.require_ready()
        await session.ready(output=wanted.output)
        async with aclosing(session.data()) as pieces:
            async for data in pieces:
                parser.feed(data)
                if parser.header is None:
                    continue
                decoded = decoded or await Decoded.begin(session, wanted, parser.layout)
                for chunks in in_blocks(parser.chunks(), parser.layout):
                    await decoded.send(chunks)
        complete = parser.end()
        if decoded is not None:
            await decoded.finish()
        await session.end(complete)


class Decoded:
    """The PCM of a stream, on its way to the client."""

    def __init__(self, session: Session, sink: Sink, decoder: StreamDecompressor):
        self._session = session
        self._sink = sink
        self._decoder = decoder
        self.dropped = 0
        """Samples that are still to be decoded only for those that follow."""

    @classmethod
    async def begin(
        cls, session: Session, wanted: parameters.Decompress, layout: Layout
    ) -> "Decoded":
        """Once the stream's header is known; tells the client what it gets. Raises `Problem` and
        `EncodecError`."""
        require_causal(layout.config)
        models = session.app.models
        codec = await models.on_cpu(await models.for_header(layout.header))
        decoder = StreamDecompressor(codec, layout, session.runner)
        sink = Sink(wanted.output, codec.config, wanted.sample_rate, wanted.channels)
        session.is_of(layout.header.model, codec.config.sample_rate)
        await session.tell(
            "header",
            model=layout.header.model,
            sample_rate=sink.rate,
            channels=sink.channels,
            output=sink.output,
        )
        return cls(session, sink, decoder)

    async def send(self, chunks: list[Chunk]) -> None:
        """What these chunks give. Raises `BitstreamError` and as `Session.send`."""
        await self._send(await self._decoder.push(chunks))

    async def finish(self) -> None:
        """What is left. Raises as `send`."""
        await self._send(await self._decoder.finish())
        if data := self._sink.finish():
            await self._session.send(data)

    async def _send(self, samples: Samples) -> None:
        self._session.add_samples(samples.shape[1])
        dropped = min(self.dropped, samples.shape[1])
        self.dropped -= dropped
        if data := self._sink.push(samples[:, dropped:]):
            await self._session.send(data)


_BLOCK = 75  # frames that are decoded and sent at once, of a stream that comes faster


def in_blocks(chunks: Iterable[Chunk], layout: Layout) -> Iterator[list[Chunk]]:
    """`chunks` in lists of about a second."""
    block: list[Chunk] = []
    for chunk in chunks:
        block.append(chunk)
        if len(block) * layout.header.chunk >= _BLOCK:
            yield block
            block = []
    if block:
        yield block
