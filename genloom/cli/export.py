"""`genloom export`: a model leaves for other programs."""

from dataclasses import asdict
from pathlib import Path

from genloom.cli.out import new_at
from genloom.cli.shared import Shared
from genloom.exchange.exporting import send


def run(model: str, out: Path, /, *, to: str = "hf", precision: str | None = None, shared: Shared = Shared()) -> None:
    """Write a model for other programs: a Hugging Face folder, a .gguf file or a PEFT adapter.

    Parameters
    ----------
    model
        A model, like notes (its newest version) or notes/2.
    out
        A folder that is made; for gguf also a file's name that ends in .gguf.
    to
        hf (for transformers and most servers), gguf (for llama.cpp) or peft (the adapter of a tuned model alone).
    precision
        Of the weights: float32, float16 or bfloat16 for hf; float16, q8_0 or float32 for gguf. Default: for hf as the
        model is stored, for gguf float16.
    """
    workspace, screen = shared.open()
    new_at(out)
    with screen.progress("Exporting", 1.0) as bar:
        done = send(workspace, model, to, out, precision, bar.update)
    screen.say(f"Model {model!r} written to {done.path} in {done.precision}")
    screen.say(f"Parity with the model: {done.parity}")
    if done.moved:
        screen.say(f"Rounding its weights to {done.precision} moves the logits by {100 * done.moved:.2g} %.")
    facts = {"path": str(done.path), "to": to, "precision": done.precision}
    screen.result({**facts, "parity": asdict(done.parity), "rounding": done.moved})
