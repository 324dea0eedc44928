"""The verbs and their purpose; a verb's module is imported only when it is called."""

from cyclopts import App, Parameter

import genloom

# The first line of the docstring of `run` in genloom/cli/commands/<verb>.py, in the order a newcomer needs them.
VERBS = {
    "collect": "Collect files and folders into a data set.",
    "train": "Train a model on a data set, or fine-tune an existing one, within a time budget.",
    "plan": "Plan a training run on many devices: memory of each, steps, days, communication, price and expected loss.",
    "generate": "Generate outputs of a model; every output is stored, traceable and replayable.",
    "design": "Design parts that hold from their goals: several different ones, with files for CAD and a report.",
    "chat": "Chat with a model; conversations are saved and can be continued.",
    "write": "Write an e-mail, article, post or another text from a prompt, in variants to choose from.",
    "prompts": "List, show, make, test and improve prompts; a changed prompt is a new version.",
    "ask": "Answer a question from documents: the sentences that answer it, and an answer with its sources.",
    "embed": "Write the embeddings of texts: of the rows of a table, or the passages of documents.",
    "code": "Write Python that passes tests in a sandbox, best candidate first; or fill a gap in a file.",
    "translate": "Translate a document with any chat model, piece by piece, with a glossary if one is given.",
    "summarize": "Summarize a document with any chat model, beside extracts, and mark what it does not support.",
    "speak": "Speak a text, sentence by sentence; the file says that it is synthetic.",
    "transcribe": "Write down what is said in a recording, as text, subtitles or JSON with the time of each word.",
    "upscale": "Enlarge an image 2 to 4 times by a small network that was trained on drawings; edges stay sharp.",
    "classify": "Give each text of a table one of your labels, without training or by a trained classifier.",
    "import": "Import a pretrained model: by name, from a Hugging Face or PEFT folder or a .gguf file.",
    "export": "Export a model to a Hugging Face folder, a .gguf file or a PEFT adapter.",
    "evaluate": "Measure a model on held-out data, and how much its samples copy from training data.",
    "compare": "Compare two models on the same held-out data.",
    "bias": "Measure which groups of people a model may treat unfairly, by minimal pairs and the regard of its texts.",
    "rate": "Rate an output, or choose the better of two; the model can learn from it.",
    "arena": "Choose between two answers to each prompt, blind; the model can learn from it.",
    "ratings": "List ratings and their use for learning, withdraw one, or export them.",
    "learn": "Learn from ratings; the new version is activated only if held-out ratings prove it better.",
    "forget": "Unlearn a rater, an output or a document, and prove that nothing of it is left.",
    "promote": "Activate a version of a model; the ledger records the decision.",
    "rollback": "Reactivate the version of a model that was active before the last promotion.",
    "verify": "Tell who signed files, whether they changed since, whether they are marked, and which outputs they are.",
    "trace": "Show where an output, model, data set, document or file comes from, or what was made from it.",
    "card": "Show the card of a model or data set, filled from its lineage.",
    "copies": "Show what outputs or files share with training data: the nearest items, and what is shared by chance.",
    "privacy": "Measure what a model reveals of its training data: membership, extraction, canaries, personal data.",
    "keys": "List, create, rotate, revoke and export the keys of marks and signatures, and trust those of others.",
    "policy": "Show content rules and consents, test a text, write a policy file, or withdraw a consent.",
    "studio": "Open the web studio: make, rate, teach and watch in the browser; nothing leaves this machine.",
    "serve": "Serve the studio and the HTTP API for other programs and a team.",
    "access": "List, create and revoke keys for programs, and add and remove accounts of people.",
    "remove": "Move data sets, models, runs, outputs or conversations to the bin, restore them, or free the space.",
    "list": "List the data sets, models, runs, outputs and conversations of the workspace, and built-in models.",
    "parts": "List the parts that models are made of, built in or from installed packages.",
    "doctor": "Check this machine and the workspace.",
}


def format_default(default: object) -> str | None:
    """Return a default as the help shows it; None if it means that nothing is set."""
    return None if default is None or default is False or default in ("", ()) else str(default)


app = App(
    name="genloom",
    help="Make generative models that you own and teach.",
    version=genloom.__version__,
    version_flags=["--version"],
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=format_default),  # no --no-json, no --empty-scrub
    suppress_keyboard_interrupt=False,
)


def get_module_name(verb: str) -> str:
    """Return the module of a verb."""
    return f"genloom.cli.commands.{'import_' if verb == 'import' else verb}"  # `import` is a keyword of Python


for _verb, _purpose in VERBS.items():
    app.command(f"{get_module_name(_verb)}:run", name=_verb, help=_purpose)
