"""Speech by pretrained models beside their libraries alone: word errors, processor seconds, equal samples and words.

    python bench/audio_speech.py speech --out ./speech
    python bench/audio_speech.py transcribe --recording ./speech/all.wav

speech: the 100 sentences of speech_sentences.txt, which were written once and never used to change a rule or a
dictionary, spoken by Kokoro in turn with the given voices; word errors by Whisper tiny.en (faster-whisper alone, beam
of 5). Both sides are compared as they are spoken: "$12.50" and "twelve dollars and fifty cents" are equal. Seconds are
those of a processor, of one thread, for each second of sound; text to phonemes is in them. The samples of the first
sentences are compared with those of an onnxruntime session of its own.

transcribe: a recording by Genloom, with times of words, and by faster-whisper alone with the same options, in turn;
word errors against the sentences, and processor seconds for each second of sound.

Needs `genloom import kokoro` and `genloom import whisper-tiny` in the workspace.
"""

import argparse
import re
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import onnxruntime
import soundfile

import genloom as gl
from genloom.api.speech import iter_levels
from genloom.api.voices import open_speaker
from genloom.speech.english_phonemes import open_phonemizer
from genloom.speech.english_text import expand_text
from genloom.speech.kokoro import Kokoro
from genloom.speech.recording import iter_pieces
from genloom.speech.sound_stream import round_samples
from genloom.speech.whisper import BEAM_SIZE, Whisper

SENTENCES = Path(__file__).with_name("speech_sentences.txt")
VOICES = "af_heart,am_michael,bf_emma,bm_george"
NUM_COMPARED = 10  # sentences whose samples are computed a second time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speech", "transcribe"))
    parser.add_argument("--workspace", default=None)
    parser.add_argument("--voices", default=VOICES)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("speech"))
    parser.add_argument("--recording", type=Path, default=Path("speech/all.wav"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()[: args.count]
    workspace = gl.Workspace(args.workspace)
    listener = workspace.model("whisper-tiny").folder.runtime_folder
    if args.what == "speech":
        measure_speech(workspace, listener, sentences, args.voices, args.out)
    else:
        measure_transcription(listener, sentences, args.recording, args.rounds)


def measure_speech(workspace: gl.Workspace, listener: Path, sentences: Sequence[str], voices: str, out: Path) -> None:
    """Print word errors and processor seconds, and whether the samples are those of onnxruntime alone."""
    out.mkdir(parents=True, exist_ok=True)
    names = voices.split(",")
    speakers = {name: open_speaker(workspace, name) for name in names}
    for speaker in speakers.values():
        speaker.synthesize(speaker.phonemize("good."), 1.0)  # loads the weights
    pretrained = {name: each for name, each in speakers.items() if each.folder.runtime}
    sessions = {name: open_session(each.folder.runtime_folder) for name, each in pretrained.items()}
    whisper = open_whisper(listener)
    errors: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    seconds = spent = 0.0
    equal, sounds = 0, []
    for number, sentence in enumerate(sentences):
        voice = names[number % len(names)]
        began = time.process_time()
        rate, levels = speakers[voice].rate, np.concatenate([e for e, _ in iter_levels(speakers[voice], sentence)])
        spent += time.process_time() - began
        seconds += len(levels) / rate
        sounds.append(levels)
        path = out / f"{number + 1:03d}-{voice}.wav"
        soundfile.write(path, levels, rate)
        if number < NUM_COMPARED and voice in sessions:
            folder = speakers[voice].folder.runtime_folder
            equal += np.array_equal(levels, round_samples(run_session(sessions[voice], folder, sentence, voice)))
        heard = " ".join(each.text for each in whisper.transcribe(str(path), language="en", beam_size=BEAM_SIZE)[0])
        wanted, found = split_words(sentence), split_words(heard)
        errors[voice].append((count_errors(wanted, found), len(wanted)))
        if wanted != found:
            print(f"{number + 1:3d} {voice}: {' '.join(wanted)}\n{'':16}{' '.join(found)}")
    soundfile.write(out / "all.wav", np.concatenate(sounds), rate)
    for voice, pairs in errors.items():
        wrong, total = np.sum(pairs, 0)
        print(f"{voice:12} {100 * wrong / total:.1f} % of {total} words wrong")
    wrong, total = np.sum([pair for pairs in errors.values() for pair in pairs], 0)
    print(f"all          {100 * wrong / total:.2f} % ({wrong} of {total} words)")
    print(f"real time    {spent / seconds:.2f} processor seconds of one thread a second of sound ({seconds:.0f} s)")
    if sessions:
        print(f"samples      {equal} of {min(NUM_COMPARED, len(sentences))} sentences equal to onnxruntime alone")


def open_session(folder: Path) -> Any:
    """Return Kokoro by onnxruntime alone, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, folder: Path, sentence: str, voice: str) -> np.ndarray:
    """Return the samples of a sentence as onnxruntime alone computes them from its phonemes."""
    speaker = Kokoro(folder)
    phonemes = open_phonemizer(folder, voice.startswith("b")).phonemize(sentence)
    tokens = [speaker.vocabulary[phoneme] for phoneme in phonemes if phoneme in speaker.vocabulary]
    style = np.fromfile(folder / "voices" / f"{voice}.bin", np.float32).reshape(-1, 1, 256)[len(tokens)]
    inputs = {"tokens": np.array([[0, *tokens, 0]]), "style": style, "speed": np.ones(1, np.float32)}
    return session.run(None, inputs)[0].ravel()


def open_whisper(folder: Path) -> Any:
    """Return Whisper by faster-whisper alone, on one thread."""
    return faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def measure_transcription(folder: Path, sentences: Sequence[str], recording: Path, rounds: int) -> None:
    """Print word errors and processor seconds of Genloom and of faster-whisper alone, in turn."""
    ours, theirs = Whisper(folder), open_whisper(folder)
    wanted = split_words(" ".join(sentences))
    seconds = soundfile.info(recording).duration
    spent: dict[str, list[float]] = {"genloom": [], "faster-whisper": []}
    heard = {}
    for _ in range(rounds):
        began = read_processor_seconds()
        heard["genloom"] = ours.transcribe(iter_pieces(recording), "en").text
        spent["genloom"].append(read_processor_seconds() - began)
        began = read_processor_seconds()
        segments, _ = theirs.transcribe(
            str(recording), language="en", beam_size=BEAM_SIZE, word_timestamps=True, vad_filter=True
        )
        heard["faster-whisper"] = " ".join(each.text.strip() for each in segments)
        spent["faster-whisper"].append(read_processor_seconds() - began)
    for name, text in heard.items():
        share = 100 * count_errors(wanted, split_words(text)) / len(wanted)
        times = sorted(spent[name])
        print(
            f"{name:15} {share:.2f} % of {len(wanted)} words wrong, {times[len(times) // 2] / seconds:.3f} processor "
            f"seconds a second of sound ({times[0] / seconds:.3f} to {times[-1] / seconds:.3f}; {seconds:.0f} s)"
        )
    print(f"same words      {heard['genloom'] == heard['faster-whisper']}")


def read_processor_seconds() -> float:
    """Return the seconds of this process, and of those that it started and that have ended, such as decoders."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def split_words(text: str) -> list[str]:
    """Return the words of a text as they are spoken, in small letters, without punctuation."""
    return re.sub(r"[^a-z' ]", " ", expand_text(text).lower().replace("o'clock", "oclock")).split()


def count_errors(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Return the least number of words to insert, delete or replace."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(found, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


if __name__ == "__main__":
    main()
