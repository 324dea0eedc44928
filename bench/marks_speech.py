"""How often the mark in speech is found after edits, how much it changes, and what marking costs.

    python bench/marks_speech.py --count 20                       # sentences that Kokoro speaks (genloom import kokoro)
    python bench/marks_speech.py --count 100 --recordings FOLDER  # WAV files of speech without a mark instead

Found is p < 1e-6 after all corrections: patterns, places, and one key. The same recordings without the mark, and with
the mark of another key, must not be found. Intervals are Wilson's, 95 %.
"""

import argparse
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from genloom.api.voices import open_speaker
from genloom.api.workspace import Workspace
from genloom.media.audio.processing import change_rate
from genloom.media.audio.sound import Sound, make_sound
from genloom.speech.spectral_mark import POOL_SIZE, SpectralMark, add_spectral_mark
from genloom.trust.audio import find_value_marks

KEY, OTHER_KEY, LEVEL = 99, 7, math.log(1e-6)
SENTENCES = Path(__file__).with_name("speech_sentences.txt")
Edit = Callable[[Sound], Sound]


def encode_sound(sound: Sound, format: str, subtype: str | None = None) -> Sound:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples[0], sound.rate, format=format, subtype=subtype)
    buffer.seek(0)
    samples, rate = soundfile.read(buffer, dtype="float32")
    return make_sound(samples, rate)


def add_noise(sound: Sound) -> Sound:
    """Return the sound with white noise 20 dB below it."""
    deviation = math.sqrt(float((sound.samples**2).mean()) / 100)
    noise = np.random.default_rng(0).normal(0, deviation, sound.samples.shape)
    return make_sound(sound.samples + noise.astype(np.float32), sound.rate)


EDITS: dict[str, Edit] = {
    "WAV": lambda sound: sound,
    "MP3": lambda sound: encode_sound(sound, "MP3"),
    "Opus": lambda sound: encode_sound(sound, "OGG", "OPUS"),
    "16 kHz": lambda sound: change_rate(sound, 16_000),
    "8 kHz, as by telephone": lambda sound: change_rate(sound, 8_000),
    "noise of -20 dB": add_noise,
    "3 seconds of it": lambda sound: sound.cut(sound.rate // 2, sound.rate // 2 + 3 * sound.rate),
    "a second of it": lambda sound: sound.cut(sound.rate // 2, sound.rate // 2 + sound.rate),
    "half as loud": lambda sound: make_sound(sound.samples / 2, sound.rate),
    "5 % faster, higher": lambda sound: Sound(change_rate(sound, round(sound.rate / 1.05)).samples, sound.rate),
}


def iter_recordings(args: argparse.Namespace) -> Iterator[Sound]:
    """Yield speech without a mark."""
    if args.recordings is not None:
        import soundfile

        for path in sorted(args.recordings.glob("*.wav"))[: args.count]:
            yield make_sound(*soundfile.read(path, dtype="float32"))
        return
    speaker = open_speaker(Workspace(args.workspace) if args.workspace else Workspace())
    for sentence in SENTENCES.read_text(encoding="utf-8").splitlines()[: args.count]:
        yield make_sound(speaker.synthesize(speaker.phonemize(sentence), 1.0), speaker.rate)


def bound_share(found: int, count: int, z: float = 1.96) -> tuple[float, float]:
    share, scale = found / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--recordings", type=Path, help="folder of WAV files")
    parser.add_argument("--workspace", help="workspace with a model that speaks")
    args = parser.parse_args()
    log_p: dict[str, list[float]] = {name: [] for name in (*EDITS, "without the mark", "mark of another key")}
    seconds, changes, cost = [], [], []
    for number, sound in enumerate(iter_recordings(args)):
        started = time.process_time()
        samples = add_spectral_mark(sound.samples[0], sound.rate, 0, SpectralMark(KEY, number % POOL_SIZE))
        cost.append((time.process_time() - started) / sound.seconds)
        marked = make_sound(samples, sound.rate)
        seconds.append(sound.seconds)
        power = float((sound.samples**2).mean()) / float(((marked.samples - sound.samples) ** 2).mean())
        changes.append(10 * math.log10(power))
        for name, edit in EDITS.items():
            log_p[name].append(find_value_marks(edit(marked), [KEY])[0].log_p)
        log_p["without the mark"].append(find_value_marks(sound, [KEY])[0].log_p)
        log_p["mark of another key"].append(find_value_marks(marked, [OTHER_KEY])[0].log_p)
    print(f"{len(seconds)} recordings of {min(seconds):.1f} to {max(seconds):.1f} s, median {np.median(seconds):.1f} s")
    print(f"the change is {np.median(changes):.1f} dB below the speech (median; {min(changes):.1f} at least)")
    print(f"marking takes {1000 * np.median(cost):.2f} ms of one processor for a second of speech")
    for name, values in log_p.items():
        found = sum(value < LEVEL for value in values)
        low, high = bound_share(found, len(values))
        exponents = np.array(values) / math.log(10)
        print(
            f"{name:24s} {found}/{len(values)} = {found / len(values):.0%} [{low:.0%}, {high:.0%}]; "
            f"p = 1e{np.median(exponents):.0f}, the weakest 1e{exponents.max():.1f}"
        )


if __name__ == "__main__":
    main()
