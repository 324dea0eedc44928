"""POST /v1/images/generations, /edits and /variations: pictures from words, of others, or of parts of others."""

import base64
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom import plugins
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.media.opening import open_limited
from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Preview, Stored
from genloom.server.errors import APIError, build_error_body
from genloom.server.openai.generating import (
    Choice,
    EventStream,
    Generation,
    collect,
    find_medium,
    find_other_medium,
    get_owner,
    resolve_model,
    start_generation,
    to_event_data,
    translate_error,
)
from genloom.server.openai.shapes import Seed, Shape, Text, to_seed
from genloom.server.signed_files import sign_stored

router = APIRouter()

MEDIUM = "image"
MAX_IMAGES = 10
MAX_UPLOAD_BYTES = 50_000_000
DEFAULT_STRENGTH = {"edits": 0.7, "variations": 0.5}
STEPS_BY_QUALITY = {"low": 0.5, "high": 2.0, "hd": 2.0}  # of the default, for models that take steps
MIME_BY_FORMAT = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

Count = Annotated[int, Field(ge=1, le=MAX_IMAGES)]


class ImageRequest(Shape):
    """The fields of all three addresses; the last ones are ours."""

    prompt: Text = ""
    model: Annotated[str, Field(max_length=512)] | None = None
    n: Count | None = None
    size: Annotated[str, Field(max_length=20, pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$")] | None = None
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    seed: Seed | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    negative_prompt: Text | None = None
    strength: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    mask_is_white: bool = False  # whether the mask is white where the picture changes, not transparent
    is_marked: bool = True  # whether the workspace's key marks the pictures
    refuse_copies: bool = False  # whether pictures that copy training data are withheld


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are sent."""

    name: str
    quality: int
    is_url: bool


@router.post("/v1/images/generations")
@require_scope("generate")
async def create_image(request: Request, body: ImageRequest) -> Response:
    """Generate pictures from words."""
    if not body.prompt.strip():
        raise APIError("server.prompt_missing", param="prompt")
    return await generate(request, body, {}, "image_generation")


@router.post("/v1/images/edits")
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def edit_image(request: Request) -> Response:
    """Change a picture where the mask is transparent, or all of it a little."""
    return await generate_from_upload(request, "edits")


@router.post("/v1/images/variations")
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def vary_image(request: Request) -> Response:
    """Vary a picture."""
    return await generate_from_upload(request, "variations")


async def generate_from_upload(request: Request, kind: Literal["edits", "variations"]) -> Response:
    """Generate pictures from an uploaded one, which is removed afterwards."""
    async with request.form(max_files=20, max_fields=100) as form:
        body = read_form(form)
        folder = Path(await run_in_threadpool(lambda: tempfile.mkdtemp(prefix="genloom-edit-")))
        try:
            source = await save_upload(form, ("image", "image[]"), folder, "image")
            mask = await save_upload(form, ("mask",), folder, "mask")
            if source is None:
                raise APIError("server.image_missing", param="image")
            params: dict[str, Any] = {"image": source, "strength": body.strength}
            found = await run_in_threadpool(find_mask, source, mask, body.mask_is_white)
            if found is not None:
                params["mask"] = found
            elif body.strength is None:
                params["strength"] = DEFAULT_STRENGTH[kind]
            response = await generate(request, body, params, "image_edit")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    # The engine has opened the files when it answers that it has started.
    shutil.rmtree(folder, ignore_errors=True)
    return response


def read_form(form: FormData) -> ImageRequest:
    """Return the fields of a form; APIError names the first one at fault."""
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        return ImageRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        param = str(first["loc"][0])
        raise APIError("server.bad_value", param=param, place=param, reason=str(first["msg"])) from None


async def save_upload(form: FormData, names: Sequence[str], folder: Path, stem: str) -> Path | None:
    """Write the one file of these names into the folder, and return its path; None without one."""
    files = [value for name in names for value in form.getlist(name) if isinstance(value, UploadFile)]
    if len(files) > 1:
        raise APIError("server.several_images", param=names[0], public_code="unsupported_parameter")
    if not files:
        return None
    suffix = Path(files[0].filename or "").suffix.lower()
    path = folder / f"{stem}{suffix if suffix in ('.png', '.jpg', '.jpeg', '.webp', '.gif', '.bmp') else '.png'}"
    data = await files[0].read()
    await run_in_threadpool(path.write_bytes, data)
    return path


def find_mask(source: Path, mask: Path | None, is_white: bool) -> Path | None:
    """Return a mask that is white where the picture changes: from a transparent one, or from a transparent picture.

    Raise APIError for a file that is no picture.
    """
    try:
        transparent = open_limited(open_transparency, mask or source)
    except (GenloomError, OSError):
        raise APIError("server.bad_picture", param="mask" if mask else "image") from None
    if mask is not None and (is_white or transparent is None):
        return mask
    if transparent is None:
        return None
    path = source.with_name("white-mask.png")
    medium = plugins.find_part("medium", MEDIUM)
    path.write_bytes(medium.encode(transparent))
    return path


def open_transparency(path: Path) -> Any:
    """Return a picture that is white where that of the path is transparent; None if it is opaque."""
    open_picture = plugins.find_part("medium", MEDIUM).open
    on_black, on_white = open_picture(path, background="black").value, open_picture(path, background="white").value
    is_transparent = (on_white.astype(np.int16) - on_black).mean(-1) > 127
    if not is_transparent.any():
        return None
    return np.repeat(is_transparent[..., None].astype(np.uint8) * 255, 3, 2)


async def generate(request: Request, body: ImageRequest, edit: Mapping[str, Any], event_name: str) -> Response:
    """Generate, and answer with the pictures or a stream of them."""
    picture_format = read_format(body)
    model = resolve_model(request, body.model) if body.model else find_default_model(request)
    generation_request = GenerationRequest(
        model,
        prompts=(body.prompt,),
        n=body.n or 1,
        seed=to_seed(body.seed),
        params={**await list_params(request, body, model), **edit},
        num_previews=(body.partial_images or 0) if body.stream else 0,
        is_marked=body.is_marked,
        refuse_copies=body.refuse_copies,
        owner=get_owner(request),
    )
    generation = await start_generation(
        request, generation_request, prompt_param="prompt", check_model=check_image_model
    )
    if body.stream:
        return EventStream(write_events(request, generation, body, picture_format, event_name), generation, "")
    choices, _ = await collect(request, generation, body.n or 1)
    choices = [choice for choice in choices if choice.stored is not None and not choice.stored.is_withheld]
    if not choices:
        raise build_copies_error(generation)
    data = [await run_in_threadpool(describe_picture, request, choice, picture_format) for choice in choices]
    return JSONResponse(
        {
            "created": generation.created,
            "data": data,
            "background": "opaque",
            "output_format": picture_format.name,
            "quality": body.quality or "auto",
            "size": body.size or "auto",
            "usage": build_usage(body.prompt),
        },
        headers=generation.headers,
    )


def build_copies_error(generation: Generation) -> APIError:
    """Return the error of pictures that are all withheld, as they copy training data."""
    model = generation.started.model
    return APIError("server.only_copies", param="refuse_copies", public_code="content_filter", model=model)


def read_format(body: ImageRequest) -> PictureFormat:
    """Return how pictures are sent; APIError for what cannot be honoured."""
    if body.background == "transparent":
        raise APIError("server.no_transparency", param="background", public_code="unsupported_parameter")
    name = body.output_format or "png"
    if body.output_compression is not None and name == "png" and body.output_compression != 100:
        raise APIError("server.png_compression", param="output_compression", public_code="unsupported_parameter")
    return PictureFormat(name, body.output_compression or 95, body.response_format == "url")


def find_default_model(request: Request) -> str:
    """Return the newest model of pictures in the workspace, else a built-in one."""
    workspace = request.app.state.workspace
    for models in (workspace.models, workspace.built_in_models):
        names = [model.name for model in models if find_medium(model) == MEDIUM]
        if names:
            return names[-1]
    raise APIError("server.no_image_models", status=404, param="model", public_code="model_not_found")


def check_image_model(workspace: Workspace, name: str) -> None:
    """Raise APIError if a model does not make pictures."""
    if find_other_medium(workspace, name, MEDIUM) is not None:
        raise APIError("server.no_image_model", param="model", model=name)


async def list_params(request: Request, body: ImageRequest, model: str) -> dict[str, Any]:
    """Return the sampler's parameters: the size if it is not the model's own, and steps by the quality."""
    guidance = body.guidance_scale if body.guidance_scale is not None else body.guidance
    params = {"steps": body.steps, "guidance_scale": guidance, "negative_prompt": body.negative_prompt}
    params = {name: value for name, value in params.items() if value is not None}
    is_sized = body.size not in (None, "auto")
    factor = STEPS_BY_QUALITY.get(body.quality or "")
    if not is_sized and (factor is None or body.steps):
        return params
    try:
        facts = await request.app.state.engine.describe(model)
    except GenloomError as error:
        raise translate_error(request.app.state.workspace, error, model, "prompt") from None
    options = {option["name"]: option for option in facts["options"]}
    if factor is not None and "steps" in options and not body.steps:
        params["steps"] = max(1, round(options["steps"]["default"] * factor))
    if is_sized:
        width, _, height = str(body.size).partition("x")
        native = facts["sample_size"]
        if native != [int(height), int(width)]:
            shown = "x".join(map(str, reversed(native))) if native else "auto"
            raise APIError(
                "server.size_unsupported",
                param="size",
                public_code="unsupported_parameter",
                size=body.size,
                native=shown,
            )
    return params


def describe_picture(request: Request, choice: Choice, picture_format: PictureFormat) -> dict[str, Any]:
    """Return a picture as clients read it."""
    assert choice.stored is not None
    output_id = choice.stored.output_id
    table: dict[str, Any] = {"revised_prompt": None, "output_id": output_id}
    if picture_format.is_url:
        return {**table, "url": str(request.url_for("download_output", id=output_id)), "b64_json": None}
    data = encode_picture(request, output_id, picture_format)
    return {**table, "b64_json": base64.b64encode(data).decode(), "url": None}


def encode_picture(request: Request, output_id: str, picture_format: PictureFormat) -> bytes:
    """Return the file of a picture in the format that was asked for."""
    output = request.app.state.workspace.output(output_id)
    if picture_format.name == "png":
        return sign_stored(output).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture.{picture_format.name}"
        output.save(path, note=lambda problem: None)  # which `genloom doctor` tells
        return path.read_bytes()


async def write_events(
    request: Request, generation: Generation, body: ImageRequest, picture_format: PictureFormat, name: str
) -> AsyncGenerator[str]:
    """Yield what the pictures look like while they form, and each when it is complete."""
    facts = {
        "created_at": generation.created,
        "background": "opaque",
        "output_format": picture_format.name,
        "quality": body.quality or "auto",
        "size": body.size or "auto",
    }

    def build_event(kind: str, **values: Any) -> str:
        return f"event: {kind}\ndata: {to_event_data({'type': kind, **facts, **values})}\n\n"

    async with aclosing(generation.events) as events:
        async for event in events:
            match event:
                case Preview():
                    data = base64.b64encode(event.data).decode()
                    yield build_event(f"{name}.partial_image", b64_json=data, partial_image_index=event.number)
                case Stored(is_withheld=True):
                    error = build_copies_error(generation)
                    yield build_event(f"{name}.failed", **build_error_body(error))
                case Stored():
                    png = await run_in_threadpool(encode_picture, request, event.output_id, picture_format)
                    usage = build_usage(body.prompt)
                    data = base64.b64encode(png).decode()
                    yield build_event(f"{name}.completed", b64_json=data, usage=usage, output_id=event.output_id)
                case Finished():
                    return


def build_usage(prompt: str) -> dict[str, Any]:
    """Return the counts that clients require: words of the prompt; pictures are not made of tokens here."""
    words = len(prompt.split())
    details = {"image_tokens": 0, "text_tokens": words}
    return {
        "input_tokens": words,
        "input_tokens_details": details,
        "output_tokens": 0,
        "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "total_tokens": words,
    }
