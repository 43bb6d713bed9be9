"""`/v1/models`, health, metrics, and the page of the interface's documentation."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from rondel.serving.classic import PAGE
from rondel.serving.service import Service

# Routes that read files are plain functions, so that FastAPI runs them in a thread.
router = APIRouter(tags=["status"])


@router.get("/v1/models", tags=["OpenAI"])
def list_models(request: Request) -> dict[str, Any]:
    """Return the served models, their kinds and sizes."""
    service: Service = request.app.state.service
    data = [served.facts(service.settings) for served in service.models.values()]
    return {"object": "list", "data": data}


@router.get("/v1/models/{name}", tags=["OpenAI"])
def show_model(name: str, request: Request) -> dict[str, Any]:
    """Return one of the models."""
    service: Service = request.app.state.service
    return service.find(name).facts(service.settings)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> dict[str, Any]:
    """Report that requests are accepted: before start-up and after shutdown nothing connects.

    `changed_on_disk` names the models whose folders were replaced after they were loaded.
    """
    service: Service = request.app.state.service
    changed = [served.name for served in service.models.values() if served.changed]
    return {"status": "ready", **({"changed_on_disk": changed} if changed else {})}


@router.get("/metrics", response_model=None)
def metrics(request: Request) -> Response:
    """Return metrics for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.metrics.page(), headers={"content-type": CONTENT_TYPE_LATEST})


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Return the page that documents the interface, from `/openapi.json`."""
    return FileResponse(PAGE / "docs.html", headers={"cache-control": "no-cache"})
