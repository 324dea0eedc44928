"""Import a BERT model, which fills blanks and gives hidden states, and compare it with its source before it is kept.

Shape letters: L length, D width, V vocabulary.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from genloom.codecs import wordpiece
from genloom.codecs.wordpiece import VOCAB_FILE, split_vocabulary
from genloom.errors import GenloomError, format_message
from genloom.exchange import architectures, huggingface
from genloom.exchange.parity import PARITY_LENGTH, PARITY_TEXT, Parity, compare_logits
from genloom.exchange.provenance import copy_notices, find_notices, find_repository, parse_repository
from genloom.exchange.source_model import ImportResult, ProgressCallback, explain_import_errors, record_parity
from genloom.exchange.weight_mapping import TensorLoader
from genloom.model import Design, Model, build_networks, build_objective, resolve_space, save_model, with_defaults
from genloom.networks.bert import Config
from genloom.settings import to_table
from genloom.store.files import hash_file
from genloom.store.workspace import Workspace
from genloom.text_format import remove_controls

ARCHITECTURES = ("BertForMaskedLM", "BertForPreTraining", "BertModel")
_IGNORED = ("pooler.", "cls.seq_relationship.", "embeddings.position_ids")  # not of use for blanks and hidden states


@dataclass(frozen=True)
class BertSource:
    """The content of a folder: the network's settings, its tensors by their plain names, and the vocabulary."""

    config: Mapping[str, Any]
    network: Config
    context_length: int
    codec: wordpiece.Codec
    tensors: Mapping[str, TensorLoader]
    paths: tuple[Path, ...]

    @property
    def has_head(self) -> bool:
        return "cls.predictions.bias" in self.tensors

    @property
    def mask(self) -> int:
        """The id of the token that stands for a blank."""
        return self.codec.special_tokens["[MASK]"]


def is_bert_folder(path: Path) -> bool:
    """Return whether a folder holds a model of BERT's architecture."""
    try:
        content = json.loads(huggingface.read_bounded(path / "config.json", 1 << 20))
        return content["architectures"][0] in ARCHITECTURES
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def import_bert(workspace: Workspace, path: Path, name: str, report_progress: ProgressCallback) -> ImportResult:
    """Import the BERT model in a folder, as a masked model.

    Raises GenloomError, and leaves nothing behind, for content that is not supported, and if the parity check fails.
    """
    with explain_import_errors(path):
        source = read_bert_source(path)
        state = dict(convert_weights(source))
    design = with_defaults(
        Design(
            codec="wordpiece",
            objective="masked",
            network="bert",
            context_length=source.context_length,
            codec_settings=asdict(source.codec.config),
            network_settings=to_table(source.network),
        )
    )
    objective = build_objective(design, resolve_space(design, source.codec))
    report_progress(0.1, "Converting the weights")
    with torch.device("meta"):
        parts = build_networks(design, objective)
    with explain_import_errors(path):
        parts["model"].load_state_dict(state, assign=True)
    model = Model(name, source.codec, objective, parts.eval().requires_grad_(False), design)
    staged_folder = workspace.create_model(name)
    with staged_folder as folder:
        report_progress(0.4, "Writing")
        save_model(model, folder, {**design.to_tables(), "name": name}, build_bert_card(path, source, model))
        copy_notices(find_notices(path), folder)
        report_progress(0.6, "Comparing with the source")
        saved_parts = build_networks(design, objective)
        saved_parts.load_state_dict(load_file(folder / "weights.safetensors"))
        parity = check_parity(saved_parts.eval()["model"], source)
        record_parity(folder, parity)
    report_progress(1.0, "")
    notes = () if source.has_head else (format_message("exchange.bert_without_head", name=name),)
    example = f'generate {name} --prompt "The [MASK] saw the sea."' if source.has_head else f"train DATA --from {name}"
    return ImportResult(staged_folder.result, None, parity, notes, example=example)


def read_bert_source(path: Path) -> BertSource:
    """Return the content of a folder; GenloomError for what is missing, damaged or not supported."""
    config = huggingface.read_json(path / "config.json")
    allowed = {"hidden_act": ("gelu",), "position_embedding_type": ("absolute",), "is_decoder": (False,)}
    architectures.check_allowed(config, allowed)
    network = Config(
        width=architectures.read_int(config, "hidden_size", 1 << 17),
        depth=architectures.read_int(config, "num_hidden_layers", 1024),
        heads=architectures.read_int(config, "num_attention_heads", 1024),
        mlp_width=architectures.read_int(config, "intermediate_size", 1 << 19),
        norm_eps=architectures.read_float(config, "layer_norm_eps", 1e-12),
    )
    context_length = architectures.read_int(config, "max_position_embeddings", architectures.MAX_CONTEXT, 512)
    paths = huggingface.find_weight_files(path)
    loaders = huggingface.join_tensors(path, paths)
    tensors = {rename_tensor(tensor): load for tensor, load in loaders.items()}
    codec = read_codec(path, context_length)
    if len(codec.tokens) != (expected := architectures.read_int(config, "vocab_size", architectures.MAX_VOCAB)):
        raise GenloomError("exchange.token_types_mismatch", expected=expected, count=len(codec.tokens))
    return BertSource(
        config,
        network,
        context_length,
        codec,
        {tensor: load for tensor, load in tensors.items() if not tensor.startswith(_IGNORED)},
        tuple(paths),
    )


def rename_tensor(name: str) -> str:
    """Return the plain name of a tensor: without `bert.`, and of a norm's tensors by their present names."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read_codec(path: Path, context_length: int) -> wordpiece.Codec:
    """Return the codec of the vocabulary in vocab.txt, or in tokenizer.json."""
    settings_path, content = path / "tokenizer_config.json", {}
    settings = huggingface.read_json(settings_path) if settings_path.is_file() else {}
    if (path / "tokenizer.json").is_file():
        content = huggingface.read_json(path / "tokenizer.json")
    if (path / VOCAB_FILE).is_file():
        tokens = split_vocabulary(huggingface.read_text(path / VOCAB_FILE))
    else:
        vocab = content.get("model", {}).get("vocab") if content.get("model", {}).get("type") == "WordPiece" else None
        if not isinstance(vocab, dict) or sorted(vocab.values()) != list(range(len(vocab))):
            raise GenloomError("exchange.bert_vocabulary")
        tokens = sorted(vocab, key=vocab.__getitem__)
    normalizer = content.get("normalizer") or {}
    is_lower = settings.get("do_lower_case", normalizer.get("lowercase", True))
    return wordpiece.Codec.from_tokens(tokens, wordpiece.Config(context_length, bool(is_lower)))


def convert_weights(source: BertSource) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the network; the mask, which follows the vocabulary here, has the row of [MASK].

    Texts have one segment, so that its vector is added to those of the positions.
    """
    known_names = set()

    def get_tensor(name: str, *shape: int) -> Tensor:
        known_names.add(name)
        if name not in source.tensors:
            raise GenloomError("exchange.missing_tensor", tensor=name)
        tensor = source.tensors[name]()
        if tuple(tensor.shape) != shape:
            raise GenloomError("exchange.tensor_shape", tensor=name, shape=tuple(tensor.shape), expected=shape)
        return tensor.float()

    c, V, mask = source.network, len(source.codec.tokens), source.mask
    D, H = c.width, c.to_transformer().hidden_width
    words_VD = get_tensor("embeddings.word_embeddings.weight", V, D)
    yield "embedding.embed.weight", torch.cat([words_VD, words_VD[mask : mask + 1]])
    num_types = architectures.read_int(source.config, "type_vocab_size", 1024, 2)
    segment_D = get_tensor("embeddings.token_type_embeddings.weight", num_types, D)[0]
    yield "pos_embed.weight", get_tensor("embeddings.position_embeddings.weight", source.context_length, D) + segment_D
    for n in range(c.depth):
        layer = f"encoder.layer.{n}"
        for kind, columns in (("weight", (D,)), ("bias", ())):
            names = [f"{layer}.attention.self.{part}.{kind}" for part in ("query", "key", "value")]
            yield f"blocks.{n}.attention.qkv.{kind}", torch.cat([get_tensor(name, D, *columns) for name in names])
            yield f"blocks.{n}.attention.out.{kind}", get_tensor(f"{layer}.attention.output.dense.{kind}", D, *columns)
            yield f"blocks.{n}.mlp.up.{kind}", get_tensor(f"{layer}.intermediate.dense.{kind}", H, *columns)
            rows = (D, H) if kind == "weight" else (D,)
            yield f"blocks.{n}.mlp.down.{kind}", get_tensor(f"{layer}.output.dense.{kind}", *rows)
    norms = {
        "norm_embedding": "embeddings.LayerNorm",
        **{f"blocks.{n}.norm_attention": f"encoder.layer.{n}.attention.output.LayerNorm" for n in range(c.depth)},
        **{f"blocks.{n}.norm_mlp": f"encoder.layer.{n}.output.LayerNorm" for n in range(c.depth)},
        **({"norm": "cls.predictions.transform.LayerNorm"} if source.has_head else {}),
    }
    for name, hf_name in norms.items():
        for kind in ("weight", "bias"):
            yield f"{name}.{kind}", get_tensor(f"{hf_name}.{kind}", D)
    if source.has_head:
        yield "transform.weight", get_tensor("cls.predictions.transform.dense.weight", D, D)
        yield "transform.bias", get_tensor("cls.predictions.transform.dense.bias", D)
        bias_V = get_tensor("cls.predictions.bias", V)
        yield "head_bias", torch.cat([bias_V, bias_V[mask : mask + 1]])
        for name, expected in (("weight", words_VD), ("bias", bias_V)):  # some writers store the tied ones again
            tied_name = f"cls.predictions.decoder.{name}"
            if tied_name in source.tensors and not torch.equal(get_tensor(tied_name, *expected.shape), expected):
                raise GenloomError("exchange.bert_head_differs", tensor=tied_name)
    else:
        yield "transform.weight", torch.eye(D)
        yield "transform.bias", torch.zeros(D)
        yield "norm.weight", torch.ones(D)
        yield "norm.bias", torch.zeros(D)
        yield "head_bias", torch.zeros(V + 1)
    if unknown := sorted(set(source.tensors) - known_names):
        raise GenloomError("exchange.unknown_tensor", tensor=unknown[0])


@torch.inference_mode()
def check_parity(network: Any, source: BertSource) -> Parity:
    """Compare the network with a plain forward pass over the file's own tensors, on a text with a blank.

    The logits are compared, or without a head the hidden states. GenloomError if they differ by more than TOLERANCE.
    """
    space, length = source.codec.space, min(PARITY_LENGTH, source.context_length)
    ids = [space.bos, *source.codec.encode(PARITY_TEXT).tolist()[: length - 2], space.eos]
    ids[len(ids) // 2] = source.mask
    ours = [source.codec.space.vocab_size if token_id == source.mask else token_id for token_id in ids]
    out_LV = network(torch.tensor([ours]), return_logits=source.has_head)[0].float()
    out_LV = out_LV[:, : space.vocab_size] if source.has_head else out_LV
    return compare_logits(out_LV, compute_reference(source, ids))


def compute_reference(source: BertSource, ids: list[int]) -> Tensor:
    """Return the logits L V of one row, or without a head its hidden states L D; no code of the network is used."""

    def get(name: str) -> Tensor:
        return source.tensors[name]().float()

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ get(f"{name}.weight").T + get(f"{name}.bias")

    def norm(x: Tensor, name: str) -> Tensor:
        difference = x - x.mean(-1, keepdim=True)
        normal = difference / (difference.square().mean(-1, keepdim=True) + source.network.norm_eps).sqrt()
        return normal * get(f"{name}.weight") + get(f"{name}.bias")

    def gelu(x: Tensor) -> Tensor:
        return x * 0.5 * (1 + torch.erf(x / 2**0.5))

    embeddings = (get(f"embeddings.{kind}_embeddings.weight") for kind in ("word", "position", "token_type"))
    words_VD, positions_LD, segments_TD = embeddings
    h_LD = norm(words_VD[ids] + positions_LD[: len(ids)] + segments_TD[0], "embeddings.LayerNorm")
    for n in range(source.network.depth):
        layer = f"encoder.layer.{n}"
        q, k, v = (
            linear(h_LD, f"{layer}.attention.self.{part}").unflatten(-1, (source.network.heads, -1)).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        update_LD = linear((weights @ v).transpose(0, 1).flatten(1), f"{layer}.attention.output.dense")
        h_LD = norm(h_LD + update_LD, f"{layer}.attention.output.LayerNorm")
        hidden = gelu(linear(h_LD, f"{layer}.intermediate.dense"))
        h_LD = norm(h_LD + linear(hidden, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    if not source.has_head:
        return h_LD
    h_LD = norm(gelu(linear(h_LD, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
    return h_LD @ words_VD.T + get("cls.predictions.bias")


def build_bert_card(path: Path, source: BertSource, model: Model) -> dict[str, Any]:
    """Return the card: the model's size and its origin."""
    card, repository = huggingface.read_card(path), find_repository(path)
    base_model = parse_repository(card.get("base_model"))
    return {
        "source": {
            "name": repository or remove_controls(path.resolve().name),
            "architecture": source.config["architectures"][0],
            "format": "huggingface",
            "files": {file.name: hash_file(file) for file in source.paths},
            "licence": huggingface.get_licence(card),
            **({"repository": repository} if repository else {}),
            **({"base_model": base_model} if base_model else {}),
        },
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "parents": [],
    }
