"""`genloom import`: a pretrained model joins the workspace."""

from dataclasses import asdict

from genloom.cli.screen import size
from genloom.cli.shared import Shared
from genloom.exchange.importing import bring


def run(what: str, /, *, name: str | None = None, shared: Shared = Shared()) -> None:
    """Bring in a pretrained model: by name, from a Hugging Face folder or a .gguf file.

    Parameters
    ----------
    what
        A name, like smollm2; the folder of a Llama, Mistral, Qwen2, Qwen3 or GPT-2 model; or a .gguf file.
    name
        What to call it here. Default: the name, or that of the folder or file.
    """
    workspace, screen = shared.open()
    with screen.progress("Importing", 1.0) as bar:
        done = bring(workspace, what, name, bar.update)
    source = done.folder.card["source"]
    taken = sum(facts["bytes"] for facts in done.folder.card["files"].values())
    screen.say(f"Model {done.folder.ref!r} in {done.folder.folder}")
    screen.say(
        f"{source['architecture']}, {done.folder.card['parameters'] / 1e6:,.1f} million parameters, "
        f"reads {done.shape.length:,} symbols, {size(taken)}, licence {source['licence']}"
    )
    screen.say(f"Parity with the source: {done.parity}")
    for note in done.notes:
        screen.note(note)
    verb = "chat" if done.chats else "generate"
    screen.say(f"Go on with: genloom {verb} {done.folder.name}")
    screen.result(
        {
            "model": done.folder.ref,
            "digest": done.folder.digest,
            "folder": str(done.folder.folder),
            "source": source,
            "parameters": done.folder.card["parameters"],
            "parity": asdict(done.parity),
            "notes": done.notes,
            "chats": done.chats,
        }
    )
