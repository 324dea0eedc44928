"""Shapes of who asks, and how clients connect."""

from typing import Annotated

from pydantic import Field

from genloom.server.studio.shapes.field_types import Name
from genloom.server.studio.shapes.shape import Body, Shape


class User(Shape):
    name: str
    is_local: bool  # at the machine itself, who sees everything


class Snippet(Shape):
    """How a client program connects; the key is written as $GENLOOM_KEY."""

    client: str
    language: str
    text: str


class Session(Shape):
    user: User
    scopes: list[str]
    version: str
    address: str
    workspace: str
    is_empty: bool  # nothing was collected, trained or generated yet
    snippets: list[Snippet]


class Login(Body):
    token: str = ""
    name: Name = ""
    password: Annotated[str, Field(max_length=1000)] = ""
    code: Annotated[str, Field(max_length=4000)] = ""  # of a provider, with the state that it came with
    state: Annotated[str, Field(max_length=200)] = ""
