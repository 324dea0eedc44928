"""Shapes of the goals of designs."""

from typing import Annotated

from pydantic import Field, model_validator

from genloom.server.studio.shapes.shape import Body, Shape


class GoalsQuestion(Body):
    """Goals as a document (design.toml), as words, or those of an example."""

    document: Annotated[str, Field(max_length=1_000_000)] = ""
    words: Annotated[str, Field(max_length=2000)] = ""
    example: Annotated[str, Field(max_length=100)] = ""

    @model_validator(mode="after")
    def _check_source(self) -> "GoalsQuestion":
        if sum(map(bool, (self.document.strip(), self.words.strip(), self.example))) != 1:
            raise ValueError("give one of document, words and example")
        return self


class Meaning(Shape):
    words: str
    meaning: str


class LimitOfGoals(Shape):
    name: str
    value: str


class DesignGoals(Shape):
    document: str  # design.toml
    title: str
    size: list[float]  # mm
    elements: list[int]
    state: str
    understood: list[Meaning]
    limits: list[LimitOfGoals]
    picture: str  # data URL


class DesignExample(Shape):
    name: str
    title: str
