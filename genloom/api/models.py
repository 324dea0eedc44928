"""Models: they generate, chat, are measured, learn from ratings and are exported."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api import code as coding
from genloom.api import evaluations, generation, learning
from genloom.api.arena import begin_arena
from genloom.api.argument_types import check_arguments
from genloom.api.attribute_bias import measure_attribute_bias
from genloom.api.bias import measure_bias
from genloom.api.chat import begin_chat
from genloom.api.consent import check_model_consent
from genloom.api.notebook import render_table
from genloom.api.privacy import measure_privacy
from genloom.api.signing import Note, sign_export
from genloom.store.files import expand_home, is_folder_path
from genloom.store.model_folder import ModelFolder

if TYPE_CHECKING:
    from genloom.api.classification import Classification
    from genloom.api.task_results import Summary, Translation
    from genloom.api.workspace import Workspace
    from genloom.exchange.exporter import ExportResult
    from genloom.model import Model as LoadedModel
    from genloom.store.ledger import Event


@check_arguments
@dataclass(frozen=True)
class Model:
    """A version of a model in a workspace. Its weights are loaded when they are first needed, and kept."""

    workspace: "Workspace"
    folder: ModelFolder
    _loaded: "dict[tuple[tuple[str, ...], str], LoadedModel]" = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def version(self) -> int:
        return self.folder.version

    @property
    def ref(self) -> str:
        """The name of the version, e.g. notes/2."""
        return self.folder.ref

    @property
    def digest(self) -> str:
        """SHA-256 over weights, codec and job; equal models have equal digests."""
        return self.folder.digest

    @property
    def card(self) -> dict[str, Any]:
        """The data, the job and the result of the training."""
        return self.folder.card

    @property
    def is_active(self) -> bool:
        """Whether the name alone means this version."""
        return self.workspace.store.get_model(self.name).ref == self.ref

    def load(self, adapters: Iterable[str] = (), precision: str = "auto") -> "LoadedModel":
        """Return the loaded model: networks, codec and objective."""
        from genloom.model import load_model

        key = tuple(adapters), precision
        if key not in self._loaded:
            self._loaded[key] = load_model(self.workspace.store, self.ref, *key)
        return self._loaded[key]

    # Verbs, by the modules that describe them

    generate = generation.generate
    iter_generate = generation.iter_generate
    list_options = generation.list_options
    chat = begin_chat
    evaluate = evaluations.evaluate
    compare = evaluations.compare
    bias = measure_bias
    attribute_bias = measure_attribute_bias
    privacy = measure_privacy
    arena = begin_arena
    learn = learning.learn
    iter_learn = learning.iter_learn
    to_receipt = learning.to_receipt
    write_code = coding.write_code
    fill_code = coding.fill_code
    forget = learning.forget
    iter_forget = learning.iter_forget

    def rate(self, check: str) -> "list[Event]":
        """Compare all pairs of the model's outputs by a machine check, e.g. "length:max_length=1".

        Returns
        -------
        list of ledger entries
            One for each new choice, marked as a machine's.

        Raises
        ------
        GenloomError
            rate.no_pairs: no two outputs answer the same prompt; core.unknown_part: there is no such check.
        """
        from genloom.rate.auto_rater import rate_pairs

        return rate_pairs(self.workspace.store, self.workspace.ledger, self.name, check)

    def translate(self, text: str | Path, *, to: str, **options: Any) -> "Translation":
        """Translate a document by this model; see `Workspace.translate`."""
        return self.workspace.translate(text, to=to, model=self, **options)

    def summarize(self, text: str | Path, **options: Any) -> "Summary":
        """Summarize a document by this model; see `Workspace.summarize`."""
        return self.workspace.summarize(text, model=self, **options)

    def classify(
        self, texts: str | Path | Sequence[str], labels: Sequence[str] = (), **options: Any
    ) -> "Classification":
        """Classify texts by this model, asked as it is or by a head on its states; see `Workspace.classify`."""
        return self.workspace.classify(texts, labels, model=self, **options)

    def promote(self, reason: str = "") -> "Event":
        """Activate this version; see `Workspace.promote`."""
        return self.workspace.promote(self.name, self.version, reason)

    def export(
        self,
        out: str | Path,
        *,
        to: str = "hf",
        precision: str = "",
        progress: "bool | Callable[[float, str], None] | None" = None,
        note: Note | None = None,
    ) -> "ExportResult":
        """Export the model to a Hugging Face folder, a .gguf file or a PEFT adapter.

        A signed genloom.json in the folder, or beside the file with its name, tells the digests of the files.

        Parameters
        ----------
        out
            New folder; for gguf also a file name that ends in .gguf, without a slash after it.
        to
            Format: hf (transformers and most servers), gguf (llama.cpp) or peft (the adapter of a fine-tuned model).
        precision
            Precision of the weights: float32, float16 or bfloat16 for hf; float16, q8_0 or float32 for gguf. "": as
            stored for hf, float16 for gguf.
        progress
            Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
            next step.
        note
            Function that gets the reason if the card cannot be signed. None: a Python warning.

        Returns
        -------
        ExportResult
            The path, and how closely the files compute what the model does.

        Raises
        ------
        GenloomError
            exchange.no_such_format, exchange.output_exists, exchange.not_a_language_model; trust.consent_refused.
        """
        from genloom.exchange.exporter import export_model
        from genloom.trust.cards.build import find_model_conflicts

        check_model_consent(self.workspace, self.ref, "export")
        with self.workspace.open_callback("Exporting", progress) as report_progress:
            result = export_model(
                self.workspace.store,
                self.ref,
                to,
                expand_home(out),
                precision or None,
                report_progress,
                is_folder=is_folder_path(out),
                sign=partial(sign_export, self, note=note),
            )
        conflicts = find_model_conflicts(self.workspace.store, self.workspace.ledger, self.ref)
        return replace(result, notes=tuple(map(str, conflicts)))

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of models."""
        return {
            "model": self.ref,
            "parent": self.folder.parent_ref,
            "in_use": self.is_active,
            "digest": self.digest,
            "created": self.folder.created,
            "bytes": sum(file_entry["bytes"] for file_entry in self.card["files"].values()),
        }

    def __repr__(self) -> str:
        return f"<Model {self.ref}>"

    def _repr_html_(self) -> str:
        return render_table([self.to_record()])
