"""Exports as downloads, for administrators alone."""

from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from core.errors import AppError, ForbiddenError, InputError
from tabs.train_parts import TrainParts
from tabs.train_version_view import DOWNLOAD
from training.export_zip import zipped
from training.exports import MAX_DOWNLOAD_BYTES, MadeExport, find_export


def download_route(parts: TrainParts) -> BaseRoute:
    """Return `GET /adapters/exports/KEY`, which sends an export as a zip."""
    return Route(f"/{DOWNLOAD}{{key}}", _endpoint(parts), methods=["GET"])


def _endpoint(parts: TrainParts) -> Any:
    async def download(request: Request) -> Response:
        host = request.client.host if request.client else None
        caller = parts.access.caller_of(request.headers, request.cookies, host)
        try:
            if not caller.is_admin:
                raise ForbiddenError("only an administrator may download an export")
            made = await run_in_threadpool(_find, parts, request.path_params["key"])
        except AppError as error:
            body = {"error": {"code": error.code, "message": str(error)}}
            return JSONResponse(body, error.status)
        headers = {
            "content-disposition": f'attachment; filename="{made.key}.zip"',
            "cache-control": "private, no-store",
        }
        return StreamingResponse(
            iterate_in_threadpool(zipped(made.folder)), 200, headers, "application/zip"
        )

    return download


def _find(parts: TrainParts, key: str) -> MadeExport:
    made = find_export(parts.home, key)
    if not made.is_downloadable:
        raise InputError(
            f"export {key!r} is larger than {MAX_DOWNLOAD_BYTES / 1e9:g} GB; take it from "
            f"{str(made.folder)!r}"
        )
    return made
