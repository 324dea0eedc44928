"""`genloom import`: a pretrained model in the workspace."""

from dataclasses import asdict

from genloom.api.workspace import Workspace
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.program import quote_name
from genloom.text_format import format_bytes


@describe_like(Workspace.import_model)
def run(model_source: str, /, *, name: str | None = None, base: str = "", common: WorkOptions = WorkOptions()) -> None:
    """Import a pretrained model: by name, from a Hugging Face or PEFT folder or a .gguf file.

    Parameters
    ----------
    model_source
        Name, e.g. smollm2; folder of a Llama, Mistral, Qwen2, Qwen3 or GPT-2 model or of an adapter; or .gguf file.
    """
    workspace, console = common.open()
    with console.show_progress("Importing", 1.0) as bar:
        import_result = workspace.import_with_report(model_source, name=name or "", base=base, progress=bar.update)
    source_card = import_result.folder.card["source"]
    num_bytes = sum(file_entry["bytes"] for file_entry in import_result.folder.card["files"].values())
    console.print_line(f"Model {import_result.folder.ref!r} in {import_result.folder.folder}")
    console.print_line(
        f"{source_card['architecture']}, {import_result.folder.card['parameters']:,} parameters, "
        f"context of {import_result.spec.context_length:,} tokens, {format_bytes(num_bytes)}, "
        f"licence {source_card['licence']}"
    )
    console.print_line(f"Parity with the source: {import_result.parity}")
    for note in import_result.notes:
        console.print_note(note)
    next_command = "chat" if import_result.has_chat_template else "generate"
    console.print_hint(f"Next: genloom {next_command} {quote_name(import_result.folder.name)}")
    console.print_result(
        {
            "model": import_result.folder.ref,
            "digest": import_result.folder.digest,
            "folder": str(import_result.folder.folder),
            "source": source_card,
            "parameters": import_result.folder.card["parameters"],
            "parity": asdict(import_result.parity),
            "notes": import_result.notes,
            "has_chat_template": import_result.has_chat_template,
        }
    )
