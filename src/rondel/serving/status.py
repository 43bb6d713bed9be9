"""What is served, and how it is: `/v1/models`, health, metrics, and the page of the interface."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from rondel.serving.classic import PAGE
from rondel.serving.service import Service

# What looks at files is no coroutine, so that it is run in a thread and not in the event loop.
router = APIRouter(tags=["status"])


@router.get("/v1/models", tags=["OpenAI"])
def list_models(request: Request) -> dict[str, Any]:
    """What is served, and of what kind and size it is."""
    service: Service = request.app.state.service
    data = [served.facts(service.settings) for served in service.models.values()]
    return {"object": "list", "data": data}


@router.get("/v1/models/{name}", tags=["OpenAI"])
def show_model(name: str, request: Request) -> dict[str, Any]:
    """One of the models."""
    service: Service = request.app.state.service
    return service.find(name).facts(service.settings)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> dict[str, Any]:
    """Whether it takes requests: there is no connection before it does, or once it is to end.

    `changed_on_disk` names the models whose folders hold others by now; what is served is what was
    loaded.
    """
    service: Service = request.app.state.service
    changed = [served.name for served in service.models.values() if served.changed]
    return {"status": "ready", **({"changed_on_disk": changed} if changed else {})}


@router.get("/metrics", response_model=None)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.metrics.page(), headers={"content-type": CONTENT_TYPE_LATEST})


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """The page of the interface, from `/openapi.json`."""
    return FileResponse(PAGE / "docs.html", headers={"cache-control": "no-cache"})
