"""What the web server has besides the pages: the API, sign-in, exports, cookies."""

from collections.abc import Iterator, Sequence
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from core.access import Access, AccessMiddleware
from core.api import ApiServices, ModelStatus, api_routes
from core.errors import AppError, ForbiddenError, StorageError
from core.login import login_routes
from core.messages import JsonObject
from core.model_states import model_states
from core.services import Services
from core.settings import VERSION
from core.store import store_secret


def make_access(services: Services, *, is_shared: bool) -> Access:
    """Return who may do what; loopback is trusted only where nobody else can come from it."""
    settings = services.settings
    alone = not settings.admin_token and not is_shared and not settings.is_space
    return Access(
        secret=store_secret(services.store, "cookies"),
        admin_token=settings.admin_token,
        trust_loopback=alone,
        is_space=settings.is_space,
    )


def web_parts(services: Services, access: Access, more: Sequence[BaseRoute] = ()) -> dict[str, Any]:
    """Return what `Blocks.launch(app_kwargs=...)` needs: routes, middleware, no documentation."""
    api = ApiServices(
        gateway=services.gateway,
        models=lambda: model_statuses(services),
        access=access,
        limits=services.catalog.limits,
        api_key=services.settings.api_key,
        revive=lambda name: services.gateway.traffic.revive(services.catalog.resolve(name)),
        health=lambda: health(services),
    )
    export = Route("/conversations/export", export_endpoint(services, access), methods=["GET"])
    return {
        "routes": [*api_routes(api), *login_routes(access), export, *more],
        "middleware": [Middleware(AccessMiddleware, access=access)],
        "docs_url": None,
        "redoc_url": None,
        "openapi_url": None,
    }


def model_statuses(services: Services) -> list[ModelStatus]:
    """Return every id of the catalog, and whether it can answer now."""
    return [
        ModelStatus(state.id, state.provider, state.is_ready, state.reason, state.to_dict())
        for state in model_states(services.gateway.traffic)
    ]


def health(services: Services) -> JsonObject:
    """Return whether the store answers, which models are loaded, and the version."""
    checks: dict[str, Any] = {"loaded_bytes": services.pool.sizes()}
    try:
        services.ledger.list(1)
        checks["store"] = "ok"
    except StorageError as error:
        checks["store"] = str(error)
    checks["storage_is_persistent"] = services.settings.is_persistent
    status = "ok" if checks["store"] == "ok" else "degraded"
    return {"status": status, "version": VERSION, "checks": checks}


def export_endpoint(services: Services, access: Access) -> Any:
    """Return the endpoint that sends a visitor's own conversations as JSONL."""

    async def export(request: Request) -> Response:
        host = request.client.host if request.client else None
        caller = access.caller_of(request.headers, request.cookies, host)
        chosen = request.query_params.getlist("id") or None
        try:
            if caller.visitor is None:
                raise ForbiddenError("conversations are exported for the visitor's cookie only")
            lines = await run_in_threadpool(_lines, services, caller.visitor, chosen)
        except AppError as error:
            body = {"error": {"code": error.code, "message": str(error)}}
            return JSONResponse(body, error.status)
        disposition = {"content-disposition": 'attachment; filename="conversations.jsonl"'}
        return StreamingResponse(
            iterate_in_threadpool(lines), 200, disposition, "application/x-ndjson"
        )

    return export


def _lines(services: Services, visitor: str, chosen: list[str] | None) -> Iterator[str]:
    """Check the ownership of every conversation before the first line is sent."""
    for conversation_id in chosen or ():
        services.conversations.get(visitor, conversation_id)
    return (line + "\n" for line in services.conversations.export(visitor, chosen))
