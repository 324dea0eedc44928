"""Export a model for other programs: write it, read it back, and compare before it is kept."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genloom.capabilities import ChatCodec
from genloom.errors import GenloomError, format_message
from genloom.exchange import gguf_file, huggingface
from genloom.exchange.architectures import ArchitectureSpec, find_architecture
from genloom.exchange.parity import (
    PARITY_TEXT,
    Parity,
    check_parity,
    compare_logits,
    compute_model_logits,
    compute_relative_error,
    encode_parity_text,
)
from genloom.exchange.provenance import read_provenance, write_card
from genloom.exchange.safetensors_file import read_header
from genloom.exchange.source_model import ProgressCallback
from genloom.exchange.vocabulary import to_tokenizer_json
from genloom.exchange.writers import (
    DTYPES,
    ExportableModel,
    find_gguf_architecture,
    with_rounded_weights,
    write_gguf,
    write_hf_folder,
    write_tokenizer,
)
from genloom.model import Model, load_model, merge_adapters, read_base
from genloom.networks import peft, transformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.program import quote_name
from genloom.settings import parse_settings
from genloom.store.files import atomic_folder, open_replacement
from genloom.store.workspace import Workspace
from genloom.types import TokenSpace

SignFiles = Callable[[Mapping[str, Path], Path], None]  # the files by their names, and where the card belongs
FORMATS = {"hf": tuple(DTYPES), "gguf": ("float16", "q8_0", "float32"), "peft": ("float32",)}


@dataclass(frozen=True)
class ExportResult:
    """The files that were written, and how closely they compute what the model does."""

    path: Path
    precision: str
    parity: Parity  # between the file and the model with its weights rounded as in the file
    rounding_error: float  # the relative error of the logits by that rounding
    notes: tuple[str, ...] = ()  # on the licences of what the model was made of


def export_model(
    workspace: Workspace,
    ref: str,
    file_format: str,
    out: Path,
    precision: str | None,
    report_progress: ProgressCallback,
    *,
    is_folder: bool = False,
    sign: SignFiles | None = None,
) -> ExportResult:
    """Write the model `ref` to `out` in `file_format`, a key of FORMATS; `is_folder` also if `out` ends in .gguf.

    `sign` writes the card of the files, before they are at their place.

    Raises GenloomError, and leaves nothing behind, if the format cannot express the model or the parity check fails.
    """
    if file_format not in FORMATS:
        raise GenloomError("exchange.no_such_format", value=file_format, known=", ".join(FORMATS))
    if precision is not None and precision not in FORMATS[file_format]:
        raise GenloomError(
            "exchange.no_such_precision", value=precision, format=file_format, known=", ".join(FORMATS[file_format])
        )
    report_progress(0.0, "Opening the model")
    model = load_model(workspace, ref)
    if file_format == "peft":
        return export_adapter(workspace, model, out, report_progress, sign)
    exportable = to_exportable(workspace, merge_adapters(model) if model.adapters else model)
    precision = precision or (find_stored_precision(model) if file_format == "hf" else FORMATS[file_format][0])
    file = f"{model.name}.gguf" if file_format == "gguf" else ""
    with open_output(out, file, is_folder=is_folder or not file or out.suffix.lower() != ".gguf") as (draft, final):
        report_progress(0.3, "Writing")
        if file_format == "hf":
            write_hf_folder(exportable, draft, precision)
            write_card(exportable.provenance, draft, "transformers")
        else:
            write_gguf(exportable, draft, precision)
            if final != out:  # in a folder of its own
                write_card(exportable.provenance, draft.parent, "gguf")
        report_progress(0.6, "Reading it back and comparing")
        try:
            parity, rounding_error = verify_export(exportable, draft, precision)
        except GenloomError as error:
            if error.code != "exchange.import_failed":
                raise
            reason = error.fields["reason"]
            raise GenloomError(
                "exchange.unreadable_export", model=model.ref, format=file_format, reason=reason
            ) from None
        sign_files(sign, draft, final, is_folder=final != out or not file)
    report_progress(1.0, "")
    return ExportResult(final, precision, parity, rounding_error)


@contextmanager
def open_output(out: Path, file: str, *, is_folder: bool) -> Generator[tuple[Path, Path]]:
    """Yield a draft path and the path it takes at the end of the block: `out`, or `file` in the folder `out`."""
    if out.exists():
        raise GenloomError("exchange.output_exists", path=out)
    if not is_folder:
        with open_replacement(out) as draft:
            yield draft, out
    else:
        with atomic_folder(out) as draft:
            yield draft / file, out / file


def sign_files(sign: SignFiles | None, draft: Path, final: Path, *, is_folder: bool) -> None:
    """Sign the written files: with a card among those of a folder, else beside the file."""
    if sign is None:
        return
    if not is_folder:
        sign({final.name: draft}, final.with_name(f"{final.name}.genloom.json"))
        return
    folder = draft if draft.is_dir() else draft.parent
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    sign(files, folder / "genloom.json")


def to_exportable(workspace: Workspace, model: Model) -> ExportableModel:
    """Return the model with its spec and origin; raises GenloomError for a model that no other program can express."""
    design = model.design
    if not isinstance(model.codec, ChatCodec):
        raise GenloomError("exchange.not_a_language_model", model=model.ref, codec=design.codec)
    if design.network != "transformer" or not isinstance(model.objective, Autoregressive):
        parts = {"network": design.network, "objective": design.objective}
        cure = format_message("exchange.train_exportable")
        raise GenloomError("exchange.not_a_transformer", model=model.ref, **parts, cure=cure)
    to_tokenizer_json(model.codec)  # which raises for other codecs
    config = parse_settings(transformer.Config, design.network_settings, "network")
    space = model.codec.space
    assert isinstance(space, TokenSpace), "an autoregressive model has tokens"
    assert model.folder is not None, "it was loaded from the workspace"
    return ExportableModel(
        model,
        ArchitectureSpec(find_architecture(config), config, design.context_length, space.vocab_size),
        read_provenance(workspace, model.folder),
    )


def find_stored_precision(model: Model) -> str:
    """Return the precision of the model's own weights in the workspace."""
    path = model.folder.folder / "weights.safetensors" if model.folder is not None else None
    precisions = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    if path is None or not path.is_file():
        return "float32"
    return precisions.get(read_header(path)["model.embedding.embed.weight"]["dtype"], "float32")


def verify_export(exportable: ExportableModel, path: Path, precision: str) -> tuple[Parity, float]:
    """Return the parity of the written files, by their own tensors and vocabulary, and the error by rounding."""
    model = exportable.model
    source = huggingface.read(path) if path.is_dir() else gguf_file.read(path)
    ids = encode_parity_text(model.codec, model.design.context_length)
    if source.codec.encode(PARITY_TEXT).tolist() != model.codec.encode(PARITY_TEXT).tolist():
        raise GenloomError("exchange.vocabulary_mismatch")
    network = model.parts["model"]
    rounded_network = network if precision == "float32" else with_rounded_weights(network, precision, source.is_gguf)
    rounding_error = compute_relative_error(
        compute_model_logits(rounded_network, ids), compute_model_logits(network, ids)
    )
    return check_parity(rounded_network, source.config, source.get_tensor, source.is_gguf, ids), rounding_error


def name_base_folder(base: str) -> str:
    """Return the path, below the current folder, at which an exported adapter expects its base model."""
    return f"./{base.replace('/', '-')}"


def describe_other_formats(workspace: Workspace, model: Model) -> str:
    """Return which formats a model that PEFT does not know can be exported to; raise GenloomError if none."""
    exportable = to_exportable(workspace, merge_adapters(model) if model.adapters else model)
    try:
        find_gguf_architecture(exportable)
    except GenloomError:
        return format_message("exchange.export_to", formats="--to hf")
    return format_message("exchange.export_to", formats="--to hf or --to gguf")


def export_adapter(
    workspace: Workspace, model: Model, out: Path, report_progress: ProgressCallback, sign: SignFiles | None = None
) -> ExportResult:
    """Write a fine-tuned model's adapter in PEFT's format, read it back onto its base model and compare."""
    if model.folder is None or not model.folder.is_adapter:
        raise GenloomError("exchange.no_adapter", model=model.ref, hint=describe_other_formats(workspace, model))
    if not peft.is_peft_compatible(model.parts["model"]):
        raise GenloomError("exchange.peft_family", model=model.ref, hint=describe_other_formats(workspace, model))
    exportable = to_exportable(workspace, model)
    base, _ = read_base(model.folder)
    source = workspace.get_model(base).card.get("source", {})
    # A bare name would be looked up on the hub, where it may belong to a stranger.
    base_path = source.get("repository") or name_base_folder(base)
    command = f"genloom export {quote_name(base)} {quote_name(str(base_path))}"
    note = f"Its base is expected at {base_path}, below the current folder: {command}"
    if source.get("repository"):
        rounding = " It was tuned on a GGUF file of it, whose weights are rounded." * (source["format"] == "gguf")
        note = f"The base of the adapter is {base_path}.{rounding}"
    ids = encode_parity_text(model.codec, model.design.context_length)
    with open_output(out, "", is_folder=True) as (draft, final):
        report_progress(0.3, "Writing")
        peft.save_peft_adapter(model.parts["model"], model.folder.ref, draft, base_path)
        write_tokenizer(exportable, draft)
        write_card(exportable.provenance, draft, "peft", note)
        report_progress(0.6, "Reading it back and comparing")
        reloaded = load_model(workspace, base).parts["model"]
        peft.load_peft_adapter(reloaded, draft, "read back")
        parity = compare_logits(
            compute_model_logits(reloaded.eval(), ids), compute_model_logits(model.parts["model"], ids)
        )
        sign_files(sign, draft, final, is_folder=True)
    report_progress(1.0, "")
    return ExportResult(final, "float32", parity, 0.0)
