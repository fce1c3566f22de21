"""The website as an application: which handler answers which path, and the page of an error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imagenet_tools.errors import ImagenetToolsError, UnknownSynsetError
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.rendering import FILE_TYPES, HERE

if TYPE_CHECKING:
    from imagenet_tools.explorer.pages import Pages


class NumberConvertor(Convertor[int]):
    """A number in a path: Python refuses to read one of more than 4,300 digits."""

    regex = "[0-9]{1,12}"

    def convert(self, value: str) -> int:
        """Return the number of a path."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return a number as a part of a path."""
        return str(value)


register_url_convertor("number", NumberConvertor())


def application(pages: Pages) -> Starlette:
    """Return the website without its gate."""
    routes = [
        Route("/", pages.home),
        Route("/tree/{wnid}", pages.branch),
        Route("/synset/{wnid}/images", pages.grid),
        *_with_suffixes("/search", pages.search),
        *_with_suffixes("/synset/{synset}", pages.synset),
        *_with_suffixes("/image/{number:number}", pages.image),
        Route("/image/{number:number}/thumbnail", pages.thumbnail),
        Route("/image/{number:number}/full", pages.full),
        *_with_suffixes("/sql", pages.sql),
        *_with_suffixes("/subset", pages.subset),
        Route("/export", pages.export, methods=["POST"]),
        Route("/export/{number:number}", pages.export_page),
        Route("/export/{number:number}/progress", pages.export_progress),
        *_with_suffixes("/images", pages.images),
        *_with_suffixes("/predictions", pages.predictions),
        *_with_suffixes("/predictions/images", pages.predicted_images),
        Route("/images.txt", pages.image_list),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    handlers: Mapping[Any, Any] = {
        ImagenetToolsError: functools.partial(_failed, pages),
        HTTPException: functools.partial(_failed, pages),
    }
    return Starlette(routes=routes, exception_handlers=handlers)


def _with_suffixes(path: str, handler: Callable[[Request], Response]) -> list[Route]:
    """Return the routes of a page and of its rows as files."""
    return [_suffixed(path, handler, suffix) for suffix in FILE_TYPES] + [Route(path, handler)]


def _suffixed(path: str, handler: Callable[[Request], Response], suffix: str) -> Route:
    def with_suffix(request: Request) -> Response:
        request.path_params["suffix"] = suffix
        return handler(request)

    return Route(path + suffix, with_suffix)


async def _failed(pages: Pages, request: Request, error: Exception) -> Response:
    """Return the page of an error; the text alone where a part of a page was asked for."""
    code = (
        error.status_code if isinstance(error, HTTPException) else 404 if isinstance(error, UnknownSynsetError) else 400
    )
    message = error.detail if isinstance(error, HTTPException) else str(error)
    if request.headers.get("accept", "").startswith("text/html") and not request.headers.get("hx-request"):
        template = pages.templates.get_template("error.html")
        html = template.render(message=message, address=Address("/", {}), tree=None)
        return HTMLResponse(html, code)
    return PlainTextResponse(message, code)
