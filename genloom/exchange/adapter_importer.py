"""Import an adapter of PEFT as a model that was tuned from one in the workspace, and compare it before it is kept."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from genloom.codecs import tokenizer
from genloom.errors import GenloomError, format_message
from genloom.exchange import huggingface
from genloom.exchange.architectures import to_hf_config
from genloom.exchange.exporter import name_base_folder, to_exportable
from genloom.exchange.jinja_templates import recognize_template
from genloom.exchange.parity import (
    PARITY_TEXT,
    compare_logits,
    compute_model_logits,
    encode_parity_text,
)
from genloom.exchange.provenance import copy_notices, find_notices
from genloom.exchange.reference_forward import TensorGetter, compute_reference_logits
from genloom.exchange.source_model import ImportResult, ProgressCallback, explain_import_errors, record_parity
from genloom.model import load_model, merge_adapters, save_adapter
from genloom.networks import lora, peft
from genloom.store.files import hash_file
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import remove_controls
from genloom.types import Codec

_NAME = "imported"  # of the adapter in the network while it is read


def is_adapter_folder(path: Path) -> bool:
    """Return whether a folder holds an adapter of PEFT and no weights of a model."""
    return (path / peft.CONFIG_FILE).is_file() and not any(path.glob("model*.safetensors"))


def import_adapter(
    workspace: Workspace, path: Path, name: str, base_ref: str, report_progress: ProgressCallback
) -> ImportResult:
    """Import the adapter in the folder `path` for the model `base_ref`; "" stands for the model that the folder names.

    Raises GenloomError, and leaves nothing behind, for settings and tensors that are not supported, and if the parity
    check with W + scale B A fails.
    """
    declared_base = peft.read_config_table(path / peft.CONFIG_FILE).get("base_model_name_or_path")
    base = workspace.get_model(base_ref) if base_ref else find_base(workspace, path, declared_base)
    report_progress(0.1, f"Opening the base {base.ref}")
    model = load_model(workspace, base.ref)
    try:
        exportable = to_exportable(workspace, merge_adapters(model) if model.adapters else model)
    except GenloomError as error:
        raise GenloomError("exchange.adapter_base_unsuitable", path=path, base=base.ref) from error
    spec, base_tensors = exportable.spec, exportable.to_hf_tensors()
    num_base_parameters = sum(p.numel() for p in exportable.model.parts.parameters())
    if spec.architecture == "GPT2LMHeadModel":
        raise GenloomError("exchange.adapter_family", path=path, base=base.ref)
    with explain_import_errors(path):
        if not (path / peft.WEIGHTS_FILE).is_file():
            if (path / "adapter_model.bin").is_file():
                raise GenloomError("exchange.pickled_weights", file="adapter_model.bin")
            raise GenloomError("exchange.missing_file", file=peft.WEIGHTS_FILE)
        config = peft.read_config(path / peft.CONFIG_FILE)
        peft.load_peft_adapter(model.parts["model"], path, _NAME)
        codec, notes = read_codec(path, model.codec)
        notices = find_notices(path)
    model = replace(model, codec=codec)
    trained = sum(p.numel() for p in model.parts.parameters())
    card = {
        "source": {
            "name": remove_controls(path.resolve().name),
            "architecture": spec.architecture,
            "format": "peft",
            "files": {peft.WEIGHTS_FILE: hash_file(path / peft.WEIGHTS_FILE)},
            "licence": huggingface.get_licence(huggingface.read_card(path)),
        },
        "parameters": num_base_parameters + trained,
        "trained": trained,
    }
    ids = encode_parity_text(codec, spec.context_length)
    hf_config = to_hf_config(spec.network, spec.context_length, spec.vocab_size)
    staged_folder = workspace.create_model(name)
    with staged_folder as folder:
        report_progress(0.4, "Writing")
        save_adapter(model, _NAME, base, folder, model.design.to_tables(), card)
        copy_notices(notices, folder)
        report_progress(0.6, "Comparing with the source")
        saved_network = load_model(workspace, base.ref).parts["model"]
        peft.load_peft_adapter(saved_network, folder / "adapter", _NAME)
        parity = compare_logits(
            compute_model_logits(saved_network.eval(), ids),
            compute_reference_logits(hf_config, read_adapted_weights(path, base_tensors, config), False, ids),
        )
        record_parity(folder, parity)
    report_progress(1.0, "")
    return ImportResult(staged_folder.result, spec, parity, notes, getattr(codec, "chat_template", None) is not None)


def find_base(workspace: Workspace, path: Path, declared_base: object) -> ModelFolder:
    """Return the newest model of the workspace that comes from the base which an adapter names."""
    models = workspace.list_models()
    matches = [
        model
        for model in models
        if declared_base
        and declared_base in (model.card.get("source", {}).get("repository"), name_base_folder(model.ref))
    ]
    if not matches:
        name = repr(remove_controls(declared_base)[:200]) if isinstance(declared_base, str) else "an unnamed model"
        raise GenloomError("exchange.adapter_base_unknown", path=path, base=name)
    return matches[-1]


def read_codec(path: Path, base_codec: Codec) -> tuple[Codec, tuple[str, ...]]:
    """Return the codec of the base with the chat template that lies beside the adapter, and notes for the user."""
    settings_path = path / "tokenizer_config.json"
    settings = huggingface.read_json(settings_path) if settings_path.is_file() else {}
    if (path / "tokenizer.json").is_file():
        content = huggingface.read_text(path / "tokenizer.json")
        own_codec = tokenizer.Codec.from_json(content, tokenizer.Config())
        if own_codec.encode(PARITY_TEXT).tolist() != base_codec.encode(PARITY_TEXT).tolist():
            raise GenloomError("exchange.adapter_vocabulary")
    template = huggingface.read_chat_template(path, settings)
    if template is None or not isinstance(base_codec, tokenizer.Codec):
        return base_codec, ()
    names = (huggingface.read_token(settings.get(f"{which}_token")) for which in ("bos", "eos"))
    chat_template = recognize_template(template, base_codec.special_tokens, *names)
    notes = () if chat_template else (format_message("exchange.unknown_chat_template"),)
    return replace(base_codec, chat_template=chat_template), notes


def read_adapted_weights(path: Path, base_tensors: Mapping[str, Tensor], config: lora.Config) -> TensorGetter:
    """Return the reference of the parity check: W + scale B A, or with DoRA its rows at their learned norms.

    It reads the file itself and shares no code with the adapters of the network.
    """
    tensors = load_file(path / peft.WEIGHTS_FILE)

    def get_tensor(name: str) -> Tensor | None:
        weight, prefix = base_tensors.get(name), f"base_model.model.{name.removesuffix('.weight')}"
        if weight is None or f"{prefix}.lora_A.weight" not in tensors:
            return weight
        A, B = (tensors[f"{prefix}.lora_{factor}.weight"].double() for factor in "AB")
        weight = weight.double() + config.scale * B @ A
        if (norms := tensors.get(f"{prefix}.lora_magnitude_vector")) is not None:
            weight = norms.double()[:, None] * weight / torch.linalg.vector_norm(weight, dim=1, keepdim=True)
        return weight.float()

    return get_tensor
