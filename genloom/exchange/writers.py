"""Write a model as a Hugging Face folder or a GGUF file."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genloom.capabilities import get_chat_template, get_special_tokens
from genloom.codecs.chat_template import ChatTemplate
from genloom.errors import GenloomError
from genloom.exchange.architectures import ArchitectureSpec, to_hf_config
from genloom.exchange.gguf_file import (
    ARCHITECTURES,
    GPT2_NAMES,
    GPT2_TRANSPOSED,
    LLAMA_NAMES,
    OWN_ROPE_FIELDS,
    import_gguf,
    permute_rotary,
)
from genloom.exchange.jinja_templates import to_jinja
from genloom.exchange.provenance import Provenance
from genloom.exchange.vocabulary import find_pre_tokenizer, to_gguf, to_tokenizer_json
from genloom.exchange.weight_mapping import convert_to_hf
from genloom.model import Model
from genloom.networks.attention import RotaryEmbedding, RotaryScaling
from genloom.store.files import reserve_space
from genloom.types import TokenSpace

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ExportableModel:
    """A model with its spec and origin."""

    model: Model
    spec: ArchitectureSpec
    provenance: Provenance

    @property
    def space(self) -> TokenSpace:
        return cast(TokenSpace, self.model.codec.space)

    @property
    def chat_template(self) -> ChatTemplate | None:
        """That of its codec, unless it was trained on plain text only."""
        is_plain = self.model.folder is not None and not self.model.folder.has_learned_roles
        return None if is_plain else get_chat_template(self.model.codec)

    @property
    def special_token_names(self) -> dict[int, str]:
        """The names of the special tokens by id."""
        return {token_id: name for name, token_id in get_special_tokens(self.model.codec).items()}

    @property
    def eos(self) -> int:
        """The id of the token that ends an answer of a chat model, or else a document."""
        special_tokens = get_special_tokens(self.model.codec)
        return special_tokens[self.chat_template.eos_tokens[0]] if self.chat_template else self.space.eos

    def to_hf_tensors(self) -> dict[str, Tensor]:
        """Return the weights by Hugging Face's names."""
        return dict(convert_to_hf(self.spec, self.model.parts["model"].state_dict()))


def write_hf_folder(exportable: ExportableModel, folder: Path, precision: str) -> None:
    """Write the files that `AutoModelForCausalLM` and `AutoTokenizer` read."""
    spec, eos_ids = exportable.spec, sorted({exportable.eos, exportable.space.eos})
    tensors = {
        name: cast_tensor(name, tensor, DTYPES[precision]) for name, tensor in exportable.to_hf_tensors().items()
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    token_ids = {"bos_token_id": exportable.space.bos, "eos_token_id": eos_ids}
    config = to_hf_config(spec.network, spec.context_length, spec.vocab_size)
    _write_json(folder / "config.json", {**config, **token_ids, "dtype": precision, "torch_dtype": precision})
    _write_json(folder / "generation_config.json", token_ids)
    write_tokenizer(exportable, folder)


def write_tokenizer(exportable: ExportableModel, folder: Path) -> None:
    """Write the files that `AutoTokenizer` reads, with the chat template."""
    _write_json(folder / "tokenizer.json", to_tokenizer_json(exportable.model.codec))
    tokenizer_config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": exportable.spec.context_length,
        "clean_up_tokenization_spaces": False,
        "eos_token": exportable.special_token_names[exportable.eos],
        "bos_token": exportable.special_token_names[exportable.space.bos],
        "pad_token": exportable.special_token_names[exportable.eos],
    }
    if exportable.chat_template:
        tokenizer_config["chat_template"] = to_jinja(exportable.chat_template)
    _write_json(folder / "tokenizer_config.json", tokenizer_config)


def find_gguf_architecture(exportable: ExportableModel) -> str:
    """Return the architecture's name in GGUF files; raises GenloomError for what they cannot express."""
    kinds = {name: kind for kind, name in ARCHITECTURES.items()}
    if exportable.spec.architecture not in kinds:
        raise GenloomError("exchange.inexpressible_in_gguf", setting="window")
    if exportable.spec.architecture == "Qwen3ForCausalLM" and exportable.spec.network.bias:
        raise GenloomError("exchange.inexpressible_in_gguf", setting="bias")
    find_pre_tokenizer(to_tokenizer_json(exportable.model.codec))
    return kinds[exportable.spec.architecture]


def write_gguf(exportable: ExportableModel, path: Path, precision: str) -> None:
    """Write a file that llama.cpp reads; vectors, and rows that are not whole blocks of `precision`, stay float32."""
    gguf = import_gguf()
    architecture = find_gguf_architecture(exportable)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in build_gguf_metadata(exportable, architecture, gguf.LlamaFileType[_FILE_TYPES[precision]]).items():
        _add_field(writer, key, value)
    for name, tensor in to_gguf_tensors(exportable):
        data, quant_type = quantize_tensor(name, tensor, precision)
        writer.add_tensor(name, data, raw_dtype=quant_type)
    with closing(writer):  # also if the disk is full
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        assert writer.fout is not None, "it is open until the end of the block"
        num_bytes = writer.fout[0].tell()
    if path.stat().st_size < num_bytes:  # numpy does not notice it if the end of a tensor could not be written
        path.unlink()
        reserve_space(path, num_bytes)  # which says why
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def quantize_tensor(name: str, tensor: Tensor, precision: str) -> tuple[np.ndarray, Any]:
    """Return the quantised data of a tensor for a GGUF file, and its type."""
    gguf = import_gguf()
    quant_type = gguf.GGMLQuantizationType[{"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}[precision]]
    if tensor.ndim == 1 or tensor.shape[-1] % gguf.GGML_QUANT_SIZES[quant_type][0]:
        quant_type = gguf.GGMLQuantizationType.F32
    if quant_type.name == "F16":
        cast_tensor(name, tensor, torch.float16)
    return gguf.quants.quantize(np.ascontiguousarray(tensor.float().numpy()), quant_type), quant_type


def with_rounded_weights(network: nn.Module, precision: str, is_gguf: bool) -> nn.Module:
    """Return a copy of the network with its weights rounded as in a file."""
    copy = deepcopy(network)
    for name, weight in copy.named_parameters():
        if is_gguf:
            weight.data = torch.from_numpy(
                import_gguf().quants.dequantize(*quantize_tensor(name, weight.data, precision))
            )
        else:
            weight.data = cast_tensor(name, weight.data, DTYPES[precision]).float()
    return copy


_FILE_TYPES = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}


def build_gguf_metadata(exportable: ExportableModel, kind: str, file_type: int) -> dict[str, Any]:
    """Return the fields of a GGUF file, including its vocabulary."""
    network, spec = exportable.spec.network, exportable.spec
    key_heads = network.key_heads or network.heads
    fields: dict[str, Any] = {
        "general.name": exportable.model.name,
        "general.license": exportable.provenance.licence,
        **exportable.provenance.base_fields,
        "general.file_type": int(file_type),
        "general.quantization_version": 2,
        f"{kind}.context_length": spec.context_length,
        f"{kind}.embedding_length": network.width,
        f"{kind}.block_count": network.depth,
        f"{kind}.feed_forward_length": network.hidden_width,
        f"{kind}.attention.head_count": network.heads,
        f"{kind}.attention.head_count_kv": key_heads,
        f"{kind}.vocab_size": spec.vocab_size,
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
        if network.rotary_length:
            factors = (network.rotary_length, network.rotary_low, network.rotary_high)
            fields |= dict(zip(OWN_ROPE_FIELDS, factors, strict=True))
    fields |= to_gguf(to_tokenizer_json(exportable.model.codec), spec.vocab_size)
    fields |= {"tokenizer.ggml.bos_token_id": exportable.space.bos, "tokenizer.ggml.eos_token_id": exportable.eos}
    if exportable.chat_template:
        fields["tokenizer.chat_template"] = to_jinja(exportable.chat_template)
    return fields


def to_gguf_tensors(exportable: ExportableModel) -> list[tuple[str, Tensor]]:
    """Return the weights with the names, the order of rows and the orientation of a GGUF file."""
    network, name = exportable.spec.network, exportable.spec.architecture
    hf_names = GPT2_NAMES if name == "GPT2LMHeadModel" else LLAMA_NAMES
    gguf_names = {hf_name: gguf_name for gguf_name, hf_name in hf_names.items()}
    heads = {"attn_q": network.heads, "attn_k": network.key_heads or network.heads}
    tensors = []
    for full, tensor in exportable.to_hf_tensors().items():
        *path, kind = full.split(".")
        block = next((i for i, part in enumerate(path) if part.isdecimal()), None)
        stem = gguf_names[".".join(path if block is None else path[block + 1 :])]
        if name == "LlamaForCausalLM" and stem in heads:
            tensor = permute_rotary(tensor, heads[stem])
        if name == "GPT2LMHeadModel" and stem in GPT2_TRANSPOSED and kind == "weight":
            tensor = tensor.T
        tensors.append((f"{stem}.{kind}" if block is None else f"blk.{path[block]}.{stem}.{kind}", tensor))
    if network.rotary_length:
        scaling = RotaryScaling(network.rotary_scale, network.rotary_length, network.rotary_low, network.rotary_high)
        rates_K = RotaryEmbedding(network.K, network.rotary_base).inv_freq_K
        tensors.append(("rope_freqs.weight", rates_K / scaling(rates_K)))
    return tensors


def cast_tensor(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor in another precision; raises GenloomError if its values are too large for it."""
    low_precision = tensor.to(dtype)
    if not low_precision.isfinite().all():
        raise GenloomError("exchange.precision_overflow", tensor=name, dtype=dtype)
    return low_precision


def _add_field(writer: Any, key: str, value: Any) -> None:
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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
