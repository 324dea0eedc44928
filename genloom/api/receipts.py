"""The receipt of a round of learning: what changed, with which confidence, and at which cost."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.api.argument_types import check_arguments
from genloom.store.files import expand_home, write_atomic

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.rate.report.receipt import Receipt as ReceiptContent


@check_arguments
@dataclass(frozen=True)
class Receipt:
    """The receipt of a round; notebooks show it with its charts, `print` as text."""

    workspace: "Workspace"
    content: "ReceiptContent"
    digest: str  # in the ledger, with the decision
    run: str  # its folder has the receipt as JSON and HTML

    @property
    def is_promoted(self) -> bool:
        """Whether the new version was proved better, and is active now."""
        return self.content.decision.should_promote

    @property
    def model(self) -> "Model":
        """The version that is in use after the round."""
        return self.workspace.model(self.content.challenger if self.is_promoted else self.content.champion)

    @property
    def challenger(self) -> "Model":
        """The version that the round trained; without training, the one that was in use."""
        return self.workspace.model(self.content.challenger)

    @property
    def page(self) -> Path:
        """The HTML page in the folder of the run."""
        return self.workspace.store.get_run(self.run).folder / "receipt.html"

    def render_html(self) -> str:
        """Return the receipt as one HTML page."""
        from genloom.rate.report.html import render_page

        return render_page(self.content)

    def save(self, path: str | Path) -> Path:
        """Write the HTML page to a path and return it."""
        path = expand_home(path)
        write_atomic(path, self.render_html())
        return path

    def __str__(self) -> str:
        from genloom.rate.report.receipt import to_text

        return to_text(self.content)

    def __repr__(self) -> str:
        outcome = "promoted" if self.is_promoted else "not promoted"
        return f"<Receipt of {self.content.challenger}: {outcome}>"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.render_html())}" style="width: 100%; height: 40em; border: 0"></iframe>'
