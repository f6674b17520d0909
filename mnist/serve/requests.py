"""The body of a request → digits in MNIST's form; what is wrong with it, as an HTTP error.

A body is one picture (``image/*``), several (``multipart/form-data``), or JSON with pictures
in base64 or 28×28 arrays of pixels. Reading is bounded and asynchronous; parsing and decoding
take processor time and are plain functions, for a thread.
"""

import base64
import time
from typing import Any, List, Sequence, Union

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from typing_extensions import Annotated

from mnist.base.errors import InputError
from mnist.data.digits import SIDE
from mnist.pictures import reading
from mnist.pictures.decode import TooLarge
from mnist.pictures.normalize import Grey

JSON = "application/json"
MULTIPART = "multipart/form-data"
BINARY = "application/octet-stream"

Picture = Union[bytes, Grey]
"""A picture's bytes, or pixels that have MNIST's form already."""


Pixel = Annotated[int, Field(ge=0, le=255, strict=True)]
Row = Annotated[List[Pixel], Field(min_length=SIDE, max_length=SIDE, fail_fast=True)]
Pixels = Annotated[List[Row], Field(min_length=SIDE, max_length=SIDE, fail_fast=True)]


def _kind(value: Any) -> str:
    return "base64" if isinstance(value, str) else "pixels"


Item = Annotated[
    Union[Annotated[str, Tag("base64")], Annotated[Pixels, Tag("pixels")]], Discriminator(_kind)
]


class Pictures(BaseModel):
    """The JSON form of a request."""

    model_config = ConfigDict(extra="forbid")

    images: List[Item] = Field(
        min_length=1,
        fail_fast=True,
        description="Each a picture's file in base64 (a data: URL will do), or 28×28 pixels,"
        " 0–255, light ink on black as in MNIST, which are taken as they are.",
    )


async def read(request: Request, max_bytes: int, max_images: int) -> Union[bytes, List[bytes]]:
    """Read a request's body, JSON or a list of pictures; never holds more than ``max_bytes``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (MULTIPART, JSON, BINARY) and not kind.startswith("image/"):
        raise HTTPException(
            415, f"content-type {kind[:80] or 'missing'}: send image/*, {MULTIPART} or {JSON}"
        )
    bounded = _bounded(request, max_bytes)
    if kind == MULTIPART:
        return await _read_files(bounded, max_images)
    body = await bounded.body()
    if not body:
        raise HTTPException(400, "the body is empty")
    return body if kind == JSON else [body]


def _bounded(request: Request, max_bytes: int) -> Request:
    left = max_bytes

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the body is larger than {max_bytes >> 20} MiB")
        return message

    return Request(request.scope, receive)


async def _read_files(request: Request, max_images: int) -> List[bytes]:
    try:
        async with request.form(max_files=max_images, max_fields=0) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            parts = [await file.read() for file in files]
        if not parts:
            raise HTTPException(400, "there is no file in it")
    except (HTTPException, FormParserError) as error:
        if getattr(error, "status_code", 400) != 400:
            raise
        what = f"{MULTIPART} of 1 to {max_images} files and nothing else"
        raise HTTPException(400, f"{what}: {getattr(error, 'detail', error)}") from error
    return parts


def pictures(body: Union[bytes, List[bytes]], max_images: int) -> Sequence[Picture]:
    """The pictures in a body, not yet decoded."""
    if isinstance(body, list):
        return body
    try:
        sent = Pictures.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "JSON"
        status = 400 if first["type"] == "json_invalid" else 422
        raise HTTPException(status, f"{where[:80]}: {first['msg'][:200]}") from error
    if len(sent.images) > max_images:
        raise HTTPException(413, f"images: {len(sent.images)} pictures; the limit is {max_images}")
    return [_picture(number, item) for number, item in enumerate(sent.images)]


def _picture(number: int, item: Union[str, List[List[int]]]) -> Picture:
    if not isinstance(item, str):
        return np.array(item, np.uint8)
    data = item.partition(",")[2] if item.startswith("data:") else item
    try:
        # Many programs write base64 in lines.
        return base64.b64decode("".join(data.split()), validate=True)
    except ValueError as error:
        raise HTTPException(422, f"images.{number}: not base64 ({error})") from error


def digits(sent: Sequence[Picture], max_pixels: int, deadline: float) -> List[Grey]:
    """Decode pictures of up to ``max_pixels`` as ``mnist.predict`` does: uint8 ``[28,28]`` each.

    Stops at ``deadline`` (of ``time.monotonic``), when nobody waits for them any more.
    """
    found = []
    for number, picture in enumerate(sent):
        if time.monotonic() > deadline:
            raise TimeoutError
        try:
            if isinstance(picture, bytes):
                picture = reading.read_digit(picture, max_pixels)
        except InputError as error:
            name = f"images.{number}: " if len(sent) > 1 else ""
            status = 413 if isinstance(error, TooLarge) else 422
            raise HTTPException(status, f"{name}{error}") from error
        found.append(picture)
    return found
