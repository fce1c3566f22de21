"""The website as an application: its routes, their handlers, from a request to a view to an answer, and errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imagenet_tools.errors import FormatError, ImagenetToolsError, UnknownSynsetError, UsageError
from imagenet_tools.explorer import sql_page, subsets, synset_page, views
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.rendering import FILE_TYPES, HERE, as_file, templates, unshown
from imagenet_tools.explorer.views import View
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from imagenet_tools.display.pictures import ShownBox
    from imagenet_tools.explorer.children import PictureMakers, Questioners
    from imagenet_tools.explorer.image_pages import NumberedImage
    from imagenet_tools.explorer.subsets import Exports
    from imagenet_tools.explorer.views import Site

_THUMBNAIL_PIXELS = 256
_MAX_NAME_CHARS = 200
_MAX_PICKED = 1_000
_SUBSET_SECONDS = 30.0
_MAX_BODY_BYTES = 1 << 20


class Pages:
    """The handlers of the routes. Each makes a view and renders it."""

    def __init__(self, site: Site, makers: PictureMakers, questioners: Questioners, exports: Exports) -> None:
        self.site, self.makers, self.questioners, self.exports = site, makers, questioners, exports
        self.templates = templates(site)

    # ---- rendering

    def page(
        self,
        request: Request,
        address: Address,
        view: View,
        *,
        current: int | None = None,
        tree: bool = True,
        **frame: object,
    ) -> Response:
        """Return a view as the suffix of the path asks: a page, or its rows as JSON, CSV or Parquet."""
        suffix = request.path_params.get("suffix", "")
        if not suffix:
            return HTMLResponse(self.html(view, address, current, tree=tree, **frame))
        headers = (
            {} if suffix == ".json" else {"content-disposition": f'attachment; filename="{_file_name(view)}{suffix}"'}
        )
        return Response(as_file(suffix, *view.rows, view.data), media_type=FILE_TYPES[suffix], headers=headers)

    def html(
        self, view: View, address: Address, current: int | None = None, *, tree: bool = True, **frame: object
    ) -> str:
        """Return the HTML of a view, with the tree beside it."""
        node = views.tree(self.site, address, current)["node"] if tree else None
        template = self.templates.get_template(view.template)
        return template.render(view=view, data=view.data, address=address, tree=node, **frame)

    def part(self, template: str, address: Address, **values: object) -> Response:
        """Return a part of a page."""
        return HTMLResponse(self.templates.get_template(template).render(address=address, **values))

    # ---- synsets

    def home(self, request: Request) -> Response:
        """Show the lowest synset above all images."""
        return RedirectResponse(_address(request).to(f"/synset/{wordnet.wnid_at(self.site.top)}"), 303)

    def synset(self, request: Request) -> Response:
        """Show a synset."""
        address, text = _address(request), request.path_params["synset"]
        if len(text) > _MAX_NAME_CHARS:  # the search for a close word takes seconds for a long one
            raise UsageError(f"Found a synset of {len(text):,} characters; expected a wnid, a name or a word.")
        wnid = self.site.synset(text)
        is_whole = bool(request.path_params.get("suffix") or address.parameters.pop("wait", ""))
        return self.page(
            request,
            address,
            synset_page.synset(self.site, address, wnid, wait=is_whole),
            current=wordnet.row_of(wnid),
        )

    def grid(self, request: Request) -> Response:
        """Return the next page of the images of a synset, as a part of its page."""
        address = _address(request)
        wnid = request.path_params["wnid"]
        page = Address(f"/synset/{wnid}", address.parameters)
        return self.part("_grid.html", page, data=synset_page.image_grid(self.site, page, wnid))

    def branch(self, request: Request) -> Response:
        """Return the children of a synset in the tree, as a part of a page."""
        address = _address(request)
        nodes = views.branch(self.site, address, request.path_params["wnid"])
        return self.part("_branch.html", address, nodes=nodes)

    def search(self, request: Request) -> Response:
        """Show what a text finds; the page of a synset if it is a wnid or a name."""
        address = _address(request)
        text = address.parameters.get("q", "")[:200]
        row = wordnet.find_row(text) if "." in text or is_wnid(text) else None
        if row is not None and not request.path_params.get("suffix"):
            return RedirectResponse(address.to(f"/synset/{wordnet.wnid_at(row)}"), 303)
        return self.page(request, address, views.search(text))

    # ---- SQL, subsets and exports

    def sql(self, request: Request) -> Response:
        """Show the answer to a SELECT."""
        address = _address(request)
        return self.page(
            request, address, sql_page.sql(self.site, self.questioners, address), tree=False, **sql_page.frame()
        )

    def subset(self, request: Request) -> Response:
        """Show the subset that the address describes."""
        address = _address(request)
        last = wordnet.find_row(address.listed("under")[-1]) if address.listed("under") else None
        return self.page(request, address, self._subset(address), current=last)

    def _subset(self, address: Address) -> View:
        from imagenet_tools.selection.steps import STEP_HEAD

        data: dict[str, Any] = {
            "error": "", "choices": self.site.counts.choices, "targets": self.exports.targets,
            "folder": str(self.exports.folder), "step_head": STEP_HEAD, "splits": [],
        }  # fmt: skip
        try:
            roots = {name: str(root) for name, root in self.site.index.roots.items()}
            question = {"words": subsets.words_of(address.parameters), "roots": roots}
            data |= self.questioners.ask("subset", question, _SUBSET_SECONDS)
        except ImagenetToolsError as error:
            data["error"] = str(error)
        head = ("split", "images", "classes", "boxes", "bytes")
        return View("subset.html", "Subset", data, (head, [[row[name] for name in head] for row in data["splits"]]))

    async def export(self, request: Request) -> Response:
        """Start an export of the subset that a form describes, and show its progress."""
        fields = await form(request)
        name, target = fields.pop("export_name", ""), fields.pop("export_to", "")
        number = self.exports.start(name, target, subsets.words_of(fields))
        return RedirectResponse(f"/export/{number}", 303)

    def export_page(self, request: Request) -> Response:
        """Show an export."""
        data = self._export(request.path_params["number"])
        view = View("export.html", f"Export {data['name']}", data, ((), ()))
        return self.page(request, _address(request), view, tree=False)

    def export_progress(self, request: Request) -> Response:
        """Return the progress of an export, as a part of its page."""
        return self.part("_progress.html", _address(request), data=self._export(request.path_params["number"]))

    def _export(self, number: int) -> dict[str, Any]:
        if number >= len(self.exports.started):
            raise HTTPException(404, f"There is no export {number} in this run.")
        export = self.exports.started[number]
        facts = {"number": number, "name": export.name, "target": export.target, "path": str(export.path)}
        return facts | export.progress._asdict()

    # ---- predictions

    def predictions(self, request: Request) -> Response:
        """Show the measures and confusions of a model; without one, how to load it."""
        address = _address(request)
        if not self.site.models and not request.path_params.get("suffix"):
            return self.page(request, address, View("no_predictions.html", "Predictions", {}, ((), ())))
        return self.page(request, address, views.predictions(self.site, address))

    def predicted_images(self, request: Request) -> Response:
        """Show the images of one class that a model takes for another."""
        address = _address(request)
        return self.page(request, address, views.predicted_images(self.site, address))

    # ---- images

    def image(self, request: Request) -> Response:
        """Show an image."""
        view = views.image(self.site, request.path_params["number"])
        row = wordnet.find_row(view.data["wnid"]) if view.data["wnid"] else None
        return self.page(request, _address(request), view, current=row)

    def thumbnail(self, request: Request) -> Response:
        """Return a small picture of an image."""
        return self._picture(request, fit=_THUMBNAIL_PIXELS)

    def full(self, request: Request) -> Response:
        """Return the picture of an image."""
        return self._picture(request, fit=None)

    def _picture(self, request: Request, *, fit: int | None) -> Response:
        """Return an image as JPEG; one that cannot be shown as a picture that says why."""
        drawn = _address(request).parameters.get("boxes_drawn") == "1"
        try:
            data = self.picture(request.path_params["number"], fit=fit, drawn=drawn)
        except FormatError as error:
            return Response(unshown(str(error)), 422, media_type="image/svg+xml")
        # The cookie holds the token of this run: a later run on this port may show another index.
        headers = {"cache-control": "private, max-age=3600", "vary": "cookie"}
        return Response(data, media_type="image/jpeg", headers=headers)

    def picture(self, number: int, *, fit: int | None, drawn: bool) -> bytes:
        """Return an image as JPEG, made by a child process; `drawn` draws its boxes.

        Raises:
            FormatError: It cannot be shown; the message says why.
        """
        facts = self.site.pages.image(number).facts
        index = self.site.index
        place = index.image_place(
            facts["source"], facts["file"], facts["offset"], facts["length"], facts["member"], facts["position"],
            facts["compression"], (facts["encoding"] or "") if facts["problem"] is None else None,
        )  # fmt: skip
        boxes: list[ShownBox] = index.shown_boxes([(facts["dataset"], facts["image_id"])])[0] if drawn else []
        return self.makers.picture(place, boxes, fit=fit, labels=fit is None)

    def images(self, request: Request) -> Response:
        """Show the images that were selected."""
        view = views.several(self._picked(request), "Selected images")
        return self.page(request, _address(request), view)

    def image_list(self, request: Request) -> Response:
        """Return the selected images as an image list file, which --images reads."""
        text = views.image_list(self._picked(request))
        headers = {"content-disposition": 'attachment; filename="images.txt"'}
        return PlainTextResponse(text, headers=headers)

    def _picked(self, request: Request) -> list[NumberedImage]:
        texts = request.query_params.getlist("image")
        numbers = [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) <= 12]
        return self.site.pages.images(numbers[:_MAX_PICKED])


def _file_name(view: View) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in view.title)[:60]


def _address(request: Request) -> Address:
    path = request.scope["path"]
    suffix = request.path_params.get("suffix", "")
    return Address(path.removesuffix(suffix) if suffix else path, dict(request.query_params))


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form; the last value of each. UsageError: it is too large, or the browser left."""
    data = b""
    try:
        async for part in request.stream():
            data += part
            if len(data) > _MAX_BODY_BYTES:
                raise UsageError("The form is too large.")
    except ClientDisconnect as error:
        raise UsageError("The form breaks off.") from error
    return {name: values[-1] for name, values in parse_qs(data.decode("utf-8", "replace")).items()}


# ---- the application


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
