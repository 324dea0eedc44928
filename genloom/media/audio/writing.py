"""Writing of sounds as WAV, FLAC, OGG, Opus, MP3 and M4A, with their tags."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.audio.libraries import load_library
from genloom.media.audio.processing import change_rate
from genloom.media.audio.sound import Sound

BLOCK = 1 << 14  # samples that are written together: libsndfile crashes when it encodes a long block as Vorbis
FORMATS = {  # suffix → format and subtype of libsndfile
    ".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"), ".aiff": ("AIFF", "PCM_16"),
}  # fmt: skip
SUFFIXES = (*FORMATS, ".m4a")
RATES = {  # of formats that do not keep every rate
    ".opus": (8_000, 12_000, 16_000, 24_000, 48_000),
    ".mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    ".m4a": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000),
}
WRITTEN_TAGS = ("title", "comment", "artist", "album", "genre", "copyright", "date", "software")
AAC_BITS = 160_000  # a second


def write_sound(sound: Sound, suffix: str, tags: Mapping[str, str] | None = None) -> bytes:
    """Return the sound as a file of this suffix with its tags; GenloomError for another suffix.

    WAV, FLAC and AIFF hold the same samples; MP3, Opus and M4A are resampled if they do not have the rate.
    """
    if suffix not in SUFFIXES:
        raise GenloomError("audio.bad_save_suffix", suffix=suffix or "such")
    if rates := RATES.get(suffix):
        sound = change_rate(sound, next((rate for rate in rates if rate >= sound.rate), rates[-1]))
    kept = {name: tag for name, tag in (tags or {}).items() if name in WRITTEN_TAGS and tag}
    return _write_mp4(sound, kept) if suffix == ".m4a" else _write_soundfile(sound, suffix, kept)


def _write_soundfile(sound: Sound, suffix: str, tags: Mapping[str, str]) -> bytes:
    soundfile = load_library("soundfile")
    format, subtype = FORMATS[suffix]
    buffer, samples = io.BytesIO(), sound.samples.T
    levels = np.rint(samples * (1 << 15)).astype(np.int16) if subtype == "PCM_16" else samples
    with soundfile.SoundFile(buffer, "w", sound.rate, sound.channels, format=format, subtype=subtype) as file:
        for name, tag in tags.items():
            setattr(file, name, tag)
        for begin in range(0, len(levels), BLOCK):
            file.write(levels[begin : begin + BLOCK])
    return buffer.getvalue()


def _write_mp4(sound: Sound, tags: Mapping[str, str]) -> bytes:
    av: Any = load_library("av")
    buffer, layout = io.BytesIO(), "mono" if sound.channels == 1 else "stereo"
    with av.open(buffer, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=sound.rate, layout=layout)
        stream.bit_rate = AAC_BITS
        container.metadata.update(tags)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.samples), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = sound.rate, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()
