"""The verbs and what each is for; a verb's file is imported only when it is called."""

import difflib

from cyclopts import App, Parameter, UnknownCommandError

import genloom

# The first line of the docstring of `run` in genloom/cli/<verb>.py, in the order a newcomer needs them.
VERBS = {
    "collect": "Gather text or pictures from files and folders into a data set.",
    "train": "Train a model on a data set, or tune one that there is, within a time you choose.",
    "generate": "Write or make pictures with a model; every output is stored and can be traced and replayed.",
    "chat": "Talk with a model; conversations are kept and can be gone on with.",
    "import": "Bring in a pretrained model: by name, from a Hugging Face folder or a .gguf file.",
    "export": "Write a model for other programs: a Hugging Face folder, a .gguf file or a PEFT adapter.",
    "evaluate": "Measure a model on held-out data, and what its samples are made from.",
    "compare": "Set two models side by side on the same held-out data.",
    "rate": "Say what you think of an output, or which of two is better; the model can learn from it.",
    "arena": "Choose between two answers to each prompt, without knowing whose they are; the model can learn from it.",
    "ratings": "Show what was rated and what it is worth, take a rating back, or write the ratings for other programs.",
    "learn": "Learn from what was rated; the new version is put into use only if held-out ratings prove it better.",
    "forget": "Take back what was learned from a rater, an output or a document, and prove that nothing is left of it.",
    "promote": "Put a version of a model into use; the ledger keeps that you decided it.",
    "rollback": "Put the version of a model back into use that was before the last promotion.",
    "list": "Show the data sets, models, runs, outputs and conversations of the workspace, and the models built in.",
    "doctor": "Say what this machine can do and whether the workspace is sound.",
}


def format_default(default: object) -> str | None:
    """A default as the help shows it; None where it means that nothing is set."""
    return None if default is None or default is False or default == "" else str(default)


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
    """The module of a verb."""
    return f"genloom.cli.commands.{'import_' if verb == 'import' else verb}"  # Python keeps that word to itself


for _verb, _purpose in VERBS.items():
    app.command(f"{get_module_name(_verb)}:run", name=_verb, help=_purpose)


def format_unknown_verb(error: UnknownCommandError) -> str:
    """What to say of a verb that is not there. The library's own words would import every verb, and so torch."""
    verb = (error.unused_tokens or [""])[0]
    matches = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
    hint = f"Did you mean {matches[0]!r}?" if matches else f"There is {', '.join(VERBS)}."
    return f"There is no verb {verb!r}. {hint}"
