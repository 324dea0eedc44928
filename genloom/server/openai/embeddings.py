"""POST /v1/embeddings: texts as vectors, of the built-in text encoder or of a language model."""

import base64
from array import array
from collections.abc import Sequence
from math import sqrt
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.errors import APIError
from genloom.server.openai.generating import resolve_model, translate_error, wait_unless_left
from genloom.server.openai.shapes import Name, Shape, Text

router = APIRouter()

MAX_INPUTS = 2048

TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=1_000_000)]


class EmbeddingRequest(Shape):
    model: Name
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=100_000)] | None = None


@router.post("/v1/embeddings")
@router.post("/embeddings", include_in_schema=False)
@require_scope("generate")
async def create_embeddings(request: Request, body: EmbeddingRequest) -> dict[str, Any]:
    """Embed one or several texts."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or not all(isinstance(text, str) for text in texts):
        raise APIError("server.foreign_embedding_tokens", param="input")
    model = resolve_model(request, body.model)
    try:
        found = await wait_unless_left(request, request.app.state.engine.embed(model, texts))
    except GenloomError as error:
        raise translate_error(request.app.state.workspace, error, model, "input") from None
    vectors = [shorten_vector(vector, body.dimensions) for vector in found["embeddings"]]
    data = [
        {"object": "embedding", "index": index, "embedding": encode_vector(vector, body.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": found["num_tokens"], "total_tokens": found["num_tokens"]}
    return {"object": "list", "data": data, "model": found["model"], "usage": usage}


def shorten_vector(vector: Sequence[float], dimensions: int | None) -> Sequence[float]:
    """Return the first numbers of a vector, of length 1 again; APIError for more than it has."""
    if dimensions is None:
        return vector
    if dimensions > len(vector):
        raise APIError("server.too_many_dimensions", param="dimensions", dimensions=dimensions, limit=len(vector))
    norm = sqrt(sum(x * x for x in vector[:dimensions])) or 1.0
    return [x / norm for x in vector[:dimensions]]


def encode_vector(vector: Sequence[float], encoding_format: str) -> Sequence[float] | str:
    """Return a vector as numbers, or as little-endian float32 in base64, as most clients ask."""
    if encoding_format == "float":
        return vector
    numbers = array("f", vector)
    if numbers.itemsize != 4:
        raise AssertionError("float32 has 4 bytes")
    import sys

    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
