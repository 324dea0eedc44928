"""Reading of sound files: WAV, FLAC, OGG, MP3, AIFF and M4A, with limits that their headers must keep.

Shape letters: C channels, N samples of a channel.
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.audio.libraries import load_library
from genloom.media.audio.sound import Sound, make_sound, require_rate

MAX_SECONDS = 30 * 60
MAX_BYTES = 1 << 29
MAX_FILE_CHANNELS = 8  # more are the tracks of a recording, and no sound of its own
MAX_VALUES = 1 << 27  # of all channels
BLOCK = 1 << 16  # samples that are read together
MAX_OVERSHOOT = 1.5  # times full scale: what compressed formats go beyond it is clipped, as players do
UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0xFFFFFFFF - 36)  # that programs write into the header of a stream
TAGS = ("title", "comment", "artist", "album", "genre", "copyright", "license", "date", "software", "description")
MAX_TAG_CHARACTERS = 2_000
MP4_BRANDS = b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash"
MP4 = "M4A"


@dataclass(frozen=True)
class Header:
    """The facts that a file states before its samples are decoded."""

    format: str  # "WAV", "FLAC", "OGG", "MP3", "AIFF", "M4A" …
    rate: int
    channels: int
    seconds: float  # 0: the file does not say


@dataclass(frozen=True)
class Recording:
    """A sound and what else its file holds."""

    sound: Sound
    header: Header
    tags: Mapping[str, str] = field(default_factory=dict)  # some of TAGS
    changes: tuple[str, ...] = ()  # what was done to the samples, in words


def find_format(data: bytes) -> str:
    """Return the format by the first bytes, "" for no sound file."""
    if data[:4] in (b"RIFF", b"RF64", b"RIFX") and data[8:12] == b"WAVE":
        return "WAV"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if data[4:8] == b"ftyp" and data[8:12] in MP4_BRANDS:
        return MP4
    if data[:4] in (b"fLaC", b"OggS", b"caff"):
        return {b"fLaC": "FLAC", b"OggS": "OGG", b"caff": "CAF"}[data[:4]]
    is_mpeg = len(data) > 3 and data[0] == 0xFF and data[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
    return "MP3" if data[:3] == b"ID3" or is_mpeg else ""


def read_header(data: bytes, max_seconds: float = MAX_SECONDS) -> Header:
    """Return the header of a file; GenloomError for no sound file, a damaged one, or one beyond a limit."""
    format = find_format(data)
    if not data:
        raise GenloomError("media.empty_file")
    if not format:
        raise GenloomError("audio.not_a_sound")
    if len(data) > MAX_BYTES:
        raise GenloomError("audio.file_too_large", limit=MAX_BYTES >> 20)
    header = _read_mp4_header(data) if format == MP4 else _read_soundfile_header(data, format)
    if not 1 <= header.channels <= MAX_FILE_CHANNELS:
        raise GenloomError("audio.too_many_channels", count=header.channels, maximum=MAX_FILE_CHANNELS)
    require_rate(header.rate)
    is_too_large = header.seconds * header.rate * header.channels > MAX_VALUES
    if header.seconds > max_seconds or is_too_large:
        limit = min(max_seconds, MAX_VALUES / header.rate / header.channels)
        raise GenloomError("audio.too_long", seconds=round(header.seconds, 1), maximum=round(limit, 1))
    return header


def read_sound(data: bytes, max_seconds: float = MAX_SECONDS) -> Recording:
    """Return the sound in a file with its tags; GenloomError for what `read_header` refuses, and for damage."""
    header = read_header(data, max_seconds)
    if header.format == "WAV":
        require_whole_wave(data)
    samples, tags = _decode_mp4(data, header) if header.format == MP4 else _decode_soundfile(data)
    if not samples.shape[1]:
        raise GenloomError("audio.empty")
    if not np.isfinite(samples).all():
        raise GenloomError("audio.not_finite")
    changes = []
    if len(samples) > 2:
        changes.append(f"{len(samples)} channels mixed to one")
        samples = samples.mean(0, keepdims=True)
    if (peak := float(np.abs(samples).max())) > MAX_OVERSHOOT:
        changes.append(f"made quieter: its peak was {peak:.3g} times full scale")
        samples = samples / peak
    return Recording(make_sound(samples, header.rate), header, tags, tuple(changes))


def require_whole_wave(data: bytes) -> None:
    """Raise GenloomError for a WAV file whose header promises more bytes than there are."""
    order, position = (">" if data[:4] == b"RIFX" else "<"), 12
    while position + 8 <= len(data):
        name, (size,) = data[position : position + 4], struct.unpack(f"{order}I", data[position + 4 : position + 8])
        if name == b"data":
            found = len(data) - position - 8
            if size not in UNKNOWN_SIZES and size > found:
                raise GenloomError("audio.truncated", found=found, promised=size)
            return
        position += 8 + size + size % 2


def _read_soundfile_header(data: bytes, format: str) -> Header:
    soundfile = load_library("soundfile")
    try:
        info = soundfile.info(io.BytesIO(data))
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        raise GenloomError("audio.damaged", reason=clean_reason(error)) from None
    return Header(format, int(info.samplerate), int(info.channels), max(info.frames, 0) / max(info.samplerate, 1))


def _decode_soundfile(data: bytes) -> tuple[np.ndarray, dict[str, str]]:
    """Return the samples, float32 (C, N), and the tags."""
    soundfile = load_library("soundfile")
    blocks, num_frames = [], 0
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, max_frames = file.frames, MAX_VALUES // file.channels
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
                num_frames += len(block)
                if num_frames > max_frames:
                    raise GenloomError("audio.too_long", seconds=MAX_SECONDS, maximum=max_frames // file.samplerate)
            tags = pick_tags(file.copy_metadata())
            channels = file.channels
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise GenloomError("audio.damaged", reason=clean_reason(error)) from None
    if num_frames < promised:
        raise GenloomError("audio.truncated", found=num_frames, promised=promised)
    return np.concatenate(blocks).T if blocks else np.zeros((channels, 0), np.float32), tags


def _read_mp4_header(data: bytes) -> Header:
    with _open_mp4(data) as container:
        stream = container.streams.audio[0]
        try:
            rate, channels = int(stream.rate or 0), int(stream.channels or 0)
        except AttributeError:  # of a stream whose codec is not known
            raise GenloomError("audio.damaged", reason="its codec is not known") from None
        seconds = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / 1e6
        return Header(MP4, rate, channels, float(seconds))


def _decode_mp4(data: bytes, header: Header) -> tuple[np.ndarray, dict[str, str]]:
    """Return the samples of the first stream, float32 (C, N), and the tags."""
    av = load_library("av")
    blocks, num_frames = [], 0
    with _open_mp4(data) as container:
        tags = pick_tags(container.metadata)
        try:
            resampler = av.AudioResampler(format="fltp")
            for frame in (each for source in container.decode(audio=0) for each in resampler.resample(source)):
                blocks.append(frame.to_ndarray().astype(np.float32))
                num_frames += blocks[-1].shape[1]
                if num_frames * header.channels > MAX_VALUES:
                    raise GenloomError("audio.too_long", seconds=MAX_SECONDS, maximum=MAX_SECONDS)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, GenloomError):
                raise
            raise GenloomError("audio.damaged", reason=clean_reason(error)) from None
    promised = round(header.seconds * header.rate)
    if num_frames < 0.98 * promised - 4096:  # the priming samples of AAC are counted by some programs
        raise GenloomError("audio.truncated", found=num_frames, promised=promised)
    samples = np.concatenate(blocks, 1) if blocks else np.zeros((header.channels, 0), np.float32)
    return samples[:, : promised or None], tags


def _open_mp4(data: bytes) -> Any:
    av = load_library("av")
    try:
        container = av.open(io.BytesIO(data), format="mp4")
    except (av.error.FFmpegError, ValueError) as error:
        raise GenloomError("audio.damaged", reason=clean_reason(error)) from None
    if not container.streams.audio:
        container.close()
        raise GenloomError("audio.no_sound_stream")
    return container


def pick_tags(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the known tags in the metadata of a file, on one line each."""
    lower = {str(name).lower(): value for name, value in metadata.items()}
    tags = {name: " ".join(str(lower[name]).split())[:MAX_TAG_CHARACTERS] for name in TAGS if lower.get(name)}
    return {name: tag for name, tag in tags.items() if tag}


def clean_reason(error: Exception) -> str:
    """Return the message of a library in short, without the address of the object that was read."""
    text = " ".join(str(error).split()).rpartition(">: ")[2]
    return (text or type(error).__name__).rstrip(".")[:160]
