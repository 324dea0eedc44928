"""Questions about the goals of designs: what a document, an example or words ask for, as a document and a picture."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError


def read_design_goals(workspace: Workspace, document: str, words: str, example: str) -> dict[str, Any]:
    """Return goals as a document, what words were read as, the limits, and a picture; one of the three is given."""
    from genloom.generate.design.finishing import check_goals
    from genloom.media import design as medium
    from genloom.media.design.document import parse_document
    from genloom.media.design.document_writing import write_goals
    from genloom.media.design.examples import build_example
    from genloom.media.design.facts import describe_limits
    from genloom.media.design.structure import build_empty
    from genloom.media.design.words import describe_state, read_words

    understood: list[tuple[str, str]] = []
    if words:
        reading = read_words(words)
        goals, understood = reading.goals, reading.meanings
    elif example:
        goals = build_example(example)
    else:
        found, _ = parse_document(document)
        if found is None:
            raise GenloomError("design.empty_document")
        goals = found
    check_goals(goals)
    picture = medium.show(build_empty(goals)).data
    return {
        "document": document if document and not (words or example) else write_goals(goals),
        "title": goals.title,
        "size": [1e3 * length for length in goals.domain.size],
        "elements": list(goals.domain.elements),
        "state": describe_state(goals),
        "understood": [{"words": phrase, "meaning": meaning} for phrase, meaning in understood],
        "limits": [{"name": name, "value": text} for name, text in describe_limits(goals)],
        "picture": f"data:image/png;base64,{base64.b64encode(picture).decode()}",
    }


def list_design_examples(workspace: Workspace) -> list[dict[str, str]]:
    """Return the examples of goals: their names and titles."""
    from genloom.media.design.examples import NAMES, build_example

    return [{"name": name, "title": build_example(name).title} for name in NAMES]


QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "read_design_goals": read_design_goals,
    "list_design_examples": list_design_examples,
}
