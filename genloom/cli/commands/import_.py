"""`genloom import`: a pretrained model in the workspace."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from genloom.api.workspace import Workspace
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.program import quote_name
from genloom.text_format import format_bytes

if TYPE_CHECKING:
    from genloom.exchange.source_model import ImportResult


@describe_like(Workspace.import_model)
def run(model_source: str, /, *, name: str | None = None, base: str = "", common: WorkOptions = WorkOptions()) -> None:
    """Import a pretrained model: by name, from a Hugging Face or PEFT folder or a .gguf file.

    Parameters
    ----------
    model_source
        Name (smollm2, qwen, kokoro, whisper, whisper-tiny); folder of a Llama, Mistral, Qwen2, Qwen3 or GPT-2 model or
        of an adapter; or .gguf file.
    """
    workspace, console = common.open()
    with console.show_progress("Importing", 1.0) as bar:
        import_result = workspace.import_with_report(model_source, name=name or "", base=base, progress=bar.update)
    source_card = import_result.folder.card["source"]
    num_bytes = sum(file_entry["bytes"] for file_entry in import_result.folder.card["files"].values())
    console.print_line(f"Model {import_result.folder.ref!r} in {import_result.folder.folder}")
    spec, parity = import_result.spec, import_result.parity
    context = f"context of {spec.context_length:,} tokens, " if spec is not None else ""
    console.print_line(
        f"{source_card['architecture']}, {import_result.folder.card['parameters']:,} parameters, {context}"
        f"{format_bytes(num_bytes)}, licence {source_card['licence']}"
    )
    if parity is not None:
        console.print_line(f"Parity with the source: {parity}")
    for note in import_result.notes:
        console.print_note(note)
    console.print_hint(f"Next: genloom {suggest_command(import_result)}")
    console.print_result(
        {
            "model": import_result.folder.ref,
            "digest": import_result.folder.digest,
            "folder": str(import_result.folder.folder),
            "source": source_card,
            "parameters": import_result.folder.card["parameters"],
            "parity": None if parity is None else asdict(parity),
            "notes": import_result.notes,
            "has_chat_template": import_result.has_chat_template,
        }
    )


def suggest_command(import_result: "ImportResult") -> str:
    """Return a command that uses the imported model."""
    name = quote_name(import_result.folder.name)
    if runtime := import_result.folder.card.get("runtime"):
        return f"{runtime['verb']} {runtime['example'].replace('NAME', name)}"
    if import_result.example:
        return import_result.example
    return f"{'chat' if import_result.has_chat_template else 'generate'} {name}"
