"""Speech as a stream of bytes that a player can begin to play before its end is known: PCM, WAV and MP3."""

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from genloom.speech.libraries import load_library

UNKNOWN_SIZE = 0xFFFF_FFFF  # of a WAV file whose end is not known, as players read it
MP3_BITS = 64_000  # a second
_WAV_TAGS = {"title": b"INAM", "comment": b"ICMT", "software": b"ISFT"}
_ID3_TAGS = {"title": b"TIT2", "comment": b"COMM", "software": b"TSSE"}


class ChunkEncoder(Protocol):
    """Turns samples in 16 bits into the bytes of a file, in the order in which they are sent."""

    def begin(self) -> bytes:
        """Return what the file begins with, its tags among it."""
        ...

    def encode(self, levels: np.ndarray) -> bytes: ...

    def finish(self) -> bytes: ...


class PcmEncoder:
    """Samples without a header."""

    def begin(self) -> bytes:
        return b""

    def encode(self, levels: np.ndarray) -> bytes:
        return levels.astype("<i2").tobytes()

    def finish(self) -> bytes:
        return b""


class WavEncoder(PcmEncoder):
    """A WAV file of one channel that says nothing about its length."""

    def __init__(self, rate: int, tags: Mapping[str, str]):
        self.rate, self.tags = rate, tags

    def begin(self) -> bytes:
        texts = b"".join(_pack_chunk(name, self.tags[tag]) for tag, name in _WAV_TAGS.items() if self.tags.get(tag))
        info = b"LIST" + struct.pack("<I", 4 + len(texts)) + b"INFO" + texts
        format = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, self.rate, 2 * self.rate, 2, 16)
        return b"RIFF" + struct.pack("<I", UNKNOWN_SIZE) + b"WAVE" + format + info + b"data" + b"\xff" * 4


def _pack_chunk(name: bytes, text: str) -> bytes:
    data = text.encode() + b"\0"
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


class Mp3Encoder:
    """MP3 frames of one channel, after a tag of ID3."""

    def __init__(self, rate: int, tags: Mapping[str, str]):
        self._av: Any = load_library("av")
        self._codec = self._av.CodecContext.create("libmp3lame", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = rate, "mono", "s16p"
        self._codec.bit_rate, self._codec.time_base = MP3_BITS, Fraction(1, rate)
        self.rate, self.tags = rate, tags
        self._waiting = np.zeros(0, np.int16)
        self._num_sent = 0

    def begin(self) -> bytes:
        frames = b"".join(_pack_id3(name, self.tags[tag]) for tag, name in _ID3_TAGS.items() if self.tags.get(tag))
        self._codec.open()
        return b"ID3\x04\x00\x00" + _pack_synchsafe(len(frames)) + frames

    def encode(self, levels: np.ndarray) -> bytes:
        self._waiting = np.concatenate([self._waiting, levels])
        size = self._codec.frame_size
        count = len(self._waiting) // size * size
        data = b"".join(self._encode_frame(self._waiting[begin : begin + size]) for begin in range(0, count, size))
        self._waiting = self._waiting[count:]
        return data

    def finish(self) -> bytes:
        rest = self._encode_frame(self._waiting) if len(self._waiting) else b""
        return rest + b"".join(bytes(packet) for packet in self._codec.encode(None))

    def _encode_frame(self, levels: np.ndarray) -> bytes:
        frame = self._av.AudioFrame.from_ndarray(np.ascontiguousarray(levels[None]), format="s16p", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._num_sent, Fraction(1, self.rate)
        self._num_sent += len(levels)
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


def _pack_id3(name: bytes, text: str) -> bytes:
    language = b"eng\0" if name == b"COMM" else b""  # and an empty description
    data = b"\x03" + language + text.encode()
    return name + _pack_synchsafe(len(data)) + b"\0\0" + data


def _pack_synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


FORMATS = ("pcm", "wav", "mp3")


def build_encoder(format: str, rate: int, tags: Mapping[str, str]) -> ChunkEncoder:
    """Return the encoder of a format of FORMATS."""
    if format == "pcm":
        return PcmEncoder()
    return WavEncoder(rate, tags) if format == "wav" else Mp3Encoder(rate, tags)
