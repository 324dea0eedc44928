"""A model as other programs read it: a Hugging Face folder, or a GGUF file."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genloom.codecs.roles import Roles
from genloom.exchange.architectures import Shape, config_of, hidden_of
from genloom.exchange.gguf_file import ARCHITECTURES, GPT2_NAMES, GPT2_TURNED, LLAMA_NAMES, library, neighbours
from genloom.exchange.templates import template_of
from genloom.exchange.vocabulary import content_of, to_gguf
from genloom.exchange.weights import to_there
from genloom.model import Model
from genloom.networks.attention import Rotary, Scaling
from genloom.types import Tokens

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Leaving:
    """A model with what its files say of it."""

    model: Model
    shape: Shape
    licence: str

    @property
    def space(self) -> Tokens:
        return cast(Tokens, self.model.codec.space)

    @property
    def roles(self) -> Roles | None:
        return getattr(self.model.codec, "roles", None)

    @property
    def named(self) -> dict[int, str]:
        """The names of the special symbols by number."""
        return {number: name for name, number in getattr(self.model.codec, "specials", {}).items()}

    @property
    def stop(self) -> int:
        """The symbol that ends what the model writes: an answer where it chats, else a document."""
        specials = getattr(self.model.codec, "specials", {})
        return specials[self.roles.stops[0]] if self.roles else self.space.stop

    def tensors(self) -> dict[str, Tensor]:
        """The weights by Hugging Face's names."""
        return dict(to_there(self.shape, self.model.parts["model"].state_dict()))


def write_folder(leaving: Leaving, folder: Path, precision: str) -> None:
    """Fill a folder that `AutoModelForCausalLM` and `AutoTokenizer` read."""
    space, shape, stops = leaving.space, leaving.shape, sorted({leaving.stop, leaving.space.stop})
    tensors = {name: rounded(name, tensor, DTYPES[precision]) for name, tensor in leaving.tensors().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    ends = {"bos_token_id": space.start, "eos_token_id": stops}
    config = config_of(shape.network, shape.length, shape.vocab)
    _write(folder / "config.json", {**config, **ends, "dtype": precision, "torch_dtype": precision})
    _write(folder / "generation_config.json", ends)
    _write(folder / "tokenizer.json", content_of(leaving.model.codec))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.length,
        "clean_up_tokenization_spaces": False,
        "eos_token": leaving.named[leaving.stop],
        "bos_token": leaving.named[space.start],
        "pad_token": leaving.named[leaving.stop],
    }
    if leaving.roles:
        settings["chat_template"] = template_of(leaving.roles)
    _write(folder / "tokenizer_config.json", settings)
    card = f"---\nlicense: {leaving.licence}\nlibrary_name: transformers\n---\n\n{leaving.model.ref}, by Genloom.\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


def write_gguf(leaving: Leaving, path: Path, precision: str) -> None:
    """Write a file that llama.cpp reads; vectors stay float32, as do rows that are no whole blocks of `precision`."""
    gguf = library()
    kinds = {name: kind for kind, name in ARCHITECTURES.items()}
    if leaving.shape.architecture not in kinds:
        raise ValueError("A GGUF file cannot say that attention has a sliding window. Export with --to hf.")
    architecture = kinds[leaving.shape.architecture]
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata(leaving, architecture, gguf.LlamaFileType[_FILE_TYPES[precision]]).items():
        _field(writer, key, value)
    for name, tensor in gguf_tensors(leaving):
        data, stored = packed(name, tensor, precision)
        writer.add_tensor(name, data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def packed(name: str, tensor: Tensor, precision: str) -> tuple[np.ndarray, Any]:
    """The numbers of a tensor as a GGUF file keeps them, and their kind."""
    gguf = library()
    kind = gguf.GGMLQuantizationType[{"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}[precision]]
    if tensor.ndim == 1 or tensor.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = gguf.GGMLQuantizationType.F32
    if kind.name == "F16":
        rounded(name, tensor, torch.float16)
    return gguf.quants.quantize(np.ascontiguousarray(tensor.float().numpy()), kind), kind


def as_written(network: nn.Module, precision: str, in_gguf: bool) -> nn.Module:
    """A copy of the network whose weights have gone through the rounding of a file."""
    copy = deepcopy(network)
    for name, weight in copy.named_parameters():
        if in_gguf:
            weight.data = torch.from_numpy(library().quants.dequantize(*packed(name, weight.data, precision)))
        else:
            weight.data = rounded(name, weight.data, DTYPES[precision]).float()
    return copy


_FILE_TYPES = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}


def metadata(leaving: Leaving, kind: str, file_type: int) -> dict[str, Any]:
    """The fields of a GGUF file, its vocabulary included."""
    network, shape = leaving.shape.network, leaving.shape
    key_heads = network.key_heads or network.heads
    fields: dict[str, Any] = {
        "general.name": leaving.model.name,
        "general.license": leaving.licence,
        "general.file_type": int(file_type),
        "general.quantization_version": 2,
        f"{kind}.context_length": shape.length,
        f"{kind}.embedding_length": network.width,
        f"{kind}.block_count": network.depth,
        f"{kind}.feed_forward_length": hidden_of(network),
        f"{kind}.attention.head_count": network.heads,
        f"{kind}.attention.head_count_kv": key_heads,
        f"{kind}.vocab_size": shape.vocab,
    }
    if kind == "gpt2":
        fields[f"{kind}.attention.layer_norm_epsilon"] = network.norm_eps
    else:
        fields |= {
            f"{kind}.attention.key_length": network.K,
            f"{kind}.attention.value_length": network.K,
            f"{kind}.attention.layer_norm_rms_epsilon": network.norm_eps,
            f"{kind}.rope.dimension_count": network.K,
            f"{kind}.rope.freq_base": network.rotary_base,
        }
        if network.rotary_scale != 1 and not network.rotary_length:
            fields |= {f"{kind}.rope.scaling.type": "linear", f"{kind}.rope.scaling.factor": network.rotary_scale}
    fields |= to_gguf(content_of(leaving.model.codec), shape.vocab)
    fields |= {"tokenizer.ggml.bos_token_id": leaving.space.start, "tokenizer.ggml.eos_token_id": leaving.stop}
    if leaving.roles:
        fields["tokenizer.chat_template"] = template_of(leaving.roles)
    return fields


def gguf_tensors(leaving: Leaving) -> list[tuple[str, Tensor]]:
    """The weights by the names of a GGUF file, in its order of rows and its orientation."""
    network, name = leaving.shape.network, leaving.shape.architecture
    there = GPT2_NAMES if name == "GPT2LMHeadModel" else LLAMA_NAMES
    back = {other: mine for mine, other in there.items()}
    heads = {"attn_q": network.heads, "attn_k": network.key_heads or network.heads}
    found = []
    for full, tensor in leaving.tensors().items():
        *path, kind = full.split(".")
        block = next((i for i, part in enumerate(path) if part.isdecimal()), None)
        which = back[".".join(path if block is None else path[block + 1 :])]
        if name == "LlamaForCausalLM" and which in heads:
            tensor = neighbours(tensor, heads[which])
        if name == "GPT2LMHeadModel" and which in GPT2_TURNED and kind == "weight":
            tensor = tensor.T
        found.append((f"{which}.{kind}" if block is None else f"blk.{path[block]}.{which}.{kind}", tensor))
    if network.rotary_length:
        scaling = Scaling(network.rotary_scale, network.rotary_length, network.rotary_low, network.rotary_high)
        plain = Rotary(network.K, network.rotary_base).rates_K
        found.append(("rope_freqs.weight", plain / scaling(plain)))
    return found


def rounded(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in another precision; ValueError where numbers are too large for it."""
    less = tensor.to(dtype)
    if not less.isfinite().all():
        raise ValueError(f"The tensor {name} has numbers too large for {dtype}. Choose --precision float32.")
    return less


def _field(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
