"""Shapes of the prompt library."""

from typing import Annotated

from pydantic import Field

from genloom.server.studio.shapes.shape import Body, Shape

Template = Annotated[str, Field(max_length=100_000)]


class PromptVariable(Shape):
    name: str
    description: str
    is_required: bool
    is_list: bool
    default: str
    choices: list[str]
    is_closed: bool  # whether nothing but the choices is taken


class Prompt(Shape):
    """The newest version of a prompt of the library."""

    name: str
    ref: str
    version: int  # 0: it comes with Genloom
    versions: int
    description: str
    owner: str
    examples: int
    tests: int
    lengths: dict[str, int]  # in words, by their names
    takes_length: bool
    variables: list[PromptVariable]


class PromptVersion(Shape):
    version: int
    created: str | None = None
    owner: str
    note: str
    up: int  # ratings of what was written from it
    down: int


class PromptDetail(Prompt):
    system: str
    prompt: str
    history: list[PromptVersion]


class PromptChange(Body):
    """The texts of a new version; None: as in the one before."""

    prompt: Template | None = None
    system: Template | None = None
    description: Annotated[str, Field(max_length=1000)] | None = None
    note: Annotated[str, Field(max_length=1000)] = ""
