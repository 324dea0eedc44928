"""A model folder as `genloom import kokoro` makes it, with a tiny network of sines in place of Kokoro's weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.exchange.runtime_importer import build_runtime_card
from genloom.settings import to_toml
from genloom.store.model_folder import RUNTIME_FOLDER, ModelFolder
from genloom.store.workspace import Workspace

SAMPLES_PER_TOKEN = 600
VOICES = ("af_heart", "af_bella", "am_onyx", "bm_george")
PHONEMES = ';:,.!?—…"()“” AIOQTWYbdfhijklmnpstuvwzæɑɒɔəɛɜɡɪŋɹʃʊʌʒʤʧˈˌːθðᵻᵊɐ'
WORDS = {
    "good": "ɡˈʊd", "morning": "mˈɔɹnɪŋ", "it": "ɪt", "is": "ɪz", "half": "hˈæf", "past": "pˈæst", "seven": "sˈɛvən",
    "five": "fˈIv", "dollars": "dˈɑləɹz", "book": "bˈʊk", "hello": "həlˈO", "record": {"DEFAULT": "ɹˈɛkəɹd",
    "VERB": "ɹəkˈɔɹd"}, "apple": "ˈæpᵊl", "yes": "jˈɛs", "play": "plˈA", "box": "bˈɑks", "read": {"DEFAULT": "ɹˈid",
    "VBD": "ɹˈɛd", "VBN": "ɹˈɛd"}, "US": {"DEFAULT": "ˌʌs", "NOUN": None}, "NASA": "nˈæsə", "B": "bˈi", "C": "sˈi",
    "x": "ˈɛks", "X": "ˈɛks", "Z": "zˈi", "sun": "sˈʌn", "flower": "flˈWəɹ", "me": "mˌi", "and": "ænd", "U": "jˈu",
    "S": "ˈɛs", "F": "ˈɛf", "I": "ˈI",
}  # fmt: skip


def add_voice_model(workspace: Workspace, name: str = "kokoro") -> ModelFolder:
    """Add the model to a workspace."""
    entry = RUNTIME_MODELS["kokoro"]
    staged = workspace.create_model(name)
    with staged as folder:
        fill_voice_folder(folder / RUNTIME_FOLDER)
        (folder / "job.toml").write_text(to_toml({"name": name, "medium": "audio", "runtime": {"name": "kokoro"}}))
        (folder / "card.json").write_text(json.dumps(build_runtime_card("kokoro", entry)))
    return staged.result


def fill_voice_folder(folder: Path) -> None:
    """Write the files of the runtime: the network, voices, and small dictionaries."""
    (folder / "voices").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(build_network())
    vocabulary = {phoneme: number for number, phoneme in enumerate(PHONEMES, start=1)}
    (folder / "vocab.json").write_text(json.dumps({"vocab": vocabulary}))
    for number, voice in enumerate(VOICES):
        np.full((510, 1, 256), number + 1, np.float32).tofile(folder / "voices" / f"{voice}.bin")
    for prefix in ("us", "gb"):
        (folder / f"{prefix}_gold.json").write_text(json.dumps(WORDS))
        (folder / f"{prefix}_silver.json").write_text(json.dumps({"silver": "sˈɪlvəɹ"}))
    (folder / "cmudict.js").write_text('export const dictionary = {\n  "thorbin": "TH AO1 R B IH0 N",\n}\n')
    weights: dict[str, Any] = build_spelling_weights()
    np.savez(folder / "spelling.npz", **weights)


def build_spelling_weights() -> dict[str, np.ndarray]:
    """Return weights of the spelling network that say "AH1" for every word, and then end."""
    width, phonemes = 4, 74
    weights = {
        f"{part}_{name}": np.zeros(shape, np.float32)
        for part, count in (("enc", 29), ("dec", phonemes))
        for name, shape in (("emb", (count, width)), ("w_ih", (12, width)), ("w_hh", (12, width)), ("b_ih", 12))
    }
    weights |= {"enc_b_hh": np.zeros(12, np.float32), "dec_b_hh": np.zeros(12, np.float32)}
    weights["dec_emb"][2] = 1  # the start: the state rises to tanh(5) / 2
    weights["dec_w_ih"][8:] = 5 / width
    weights["fc_w"], weights["fc_b"] = np.zeros((phonemes, width), np.float32), np.zeros(phonemes, np.float32)
    weights["fc_w"][11], weights["fc_b"][3] = 1.0, 1.2  # AH1 while the state is high, then the end
    return weights


def build_network() -> bytes:
    """Return an ONNX file: each token is a tone of its own, higher with the speed and with the voice."""
    ramp = np.arange(SAMPLES_PER_TOKEN, dtype=np.float32)[None] / 50
    nodes = [
        _node("Cast", ["tokens"], "as_floats", to=1),
        _node("ReduceMean", ["style"], "pitch", keepdims=0),
        _node("Mul", ["as_floats", "speed"], "sped"),
        _node("Add", ["sped", "pitch"], "raised"),
        _node("Reshape", ["raised", "column"], "frequencies"),
        _node("Mul", ["frequencies", "ramp"], "phases"),
        _node("Sin", ["phases"], "tones"),
        _node("Mul", ["tones", "gain"], "quiet"),
        _node("Reshape", ["quiet", "row"], "audio"),
    ]
    tensors = [
        _tensor("ramp", ramp),
        _tensor("gain", np.array([0.3], np.float32)),
        _tensor("column", np.array([-1, 1], np.int64)),
        _tensor("row", np.array([-1], np.int64)),
    ]
    inputs = [_value("tokens", 7, (1, "n")), _value("style", 1, (1, 256)), _value("speed", 1, (1,))]
    parts = [(1, each) for each in nodes] + [(2, b"tiny")] + [(5, each) for each in tensors]
    parts += [(11, each) for each in inputs] + [(12, _value("audio", 1, ("m",)))]
    graph = b"".join(_field(number, data) for number, data in parts)
    return _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))


def _varint(value: int) -> bytes:
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    data = b"".join(_field(1, each.encode()) for each in inputs) + _field(2, output.encode()) + _field(4, kind.encode())
    for name, value in attributes.items():
        data += _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2))
    return data


def _tensor(name: str, array: np.ndarray) -> bytes:
    dims = b"".join(_number(1, size) for size in array.shape)
    kind = 1 if array.dtype == np.float32 else 7
    return dims + _number(2, kind) + _field(8, name.encode()) + _field(9, array.tobytes())


def _value(name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    dims = b"".join(
        _field(1, _field(2, size.encode()) if isinstance(size, str) else _number(1, size)) for size in shape
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))
