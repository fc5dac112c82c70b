"""The routes of the service."""

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST

from mtl.serving import corrections, label_studio
from mtl.serving.batching import Batcher
from mtl.serving.messages import (
    CorrectionReply,
    CorrectionRequest,
    Failure,
    ModelReply,
    PredictReply,
    PredictRequest,
    Refusal,
    StateReply,
    TaskReply,
)
from mtl.serving.middleware import BodyLimited, Observed, TokenRequired
from mtl.serving.served import ServedModel
from mtl.serving.service import Service, refusal
from mtl.serving.settings import LOCAL, Settings

PAGE = Path(__file__).parent / "page"
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": Failure, "description": "The token is missing or wrong."},
    413: {"model": Failure, "description": "The body is too large."},
    422: {"model": Refusal, "description": "The request is wrong; names the field."},
}
FULL: dict[int | str, dict[str, Any]] = {503: {"model": Failure, "description": "The queue is full; try again after Retry-After seconds."}}


def create_app(settings: Settings, model: ServedModel) -> FastAPI:
    """The application. Its server must run the lifespan events."""
    service = Service(settings, model)
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        title="mtl",
        summary="Predictions of one multi-task model",
        version="1",
        lifespan=_lifespan(service),
        responses=FAILURES,
    )
    app.state.service = service
    app.include_router(router)
    app.include_router(label_studio.router)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(400, _refuse_body)
    # The last one that is added comes first.
    app.add_middleware(BodyLimited, limit=settings.limits.body_bytes)
    if settings.token:
        app.add_middleware(TokenRequired, token=settings.token)
    elif not settings.insecure:  # else a page of the web could reach the service under a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "[::1]", LOCAL, settings.host], www_redirect=False)
    app.add_middleware(Observed, metrics=service.metrics, version=lambda: service.model.version)
    return app


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher = Batcher(service.settings.limits, service.metrics)
        if threading.current_thread() is threading.main_thread():
            reloads: set[asyncio.Task[str]] = set()
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_later, service, reloads)
        yield
        await service.batcher.close()

    return lifespan


def _reload_later(service: Service, reloads: set[asyncio.Task[str]]) -> None:
    """Keeps the task, which the event loop itself would not."""
    task = asyncio.create_task(service.reload())
    reloads.add(task)
    task.add_done_callback(reloads.discard)
    task.add_done_callback(asyncio.Task.exception)  # it is logged


async def _refuse(_: Request, error: Exception) -> Response:
    """All that is wrong in a request, without its values, which JSON may not be able to hold."""
    assert isinstance(error, RequestValidationError)
    issues = [{key: issue[key] for key in ("loc", "msg", "type")} for issue in error.errors()]
    return Response(json.dumps({"detail": issues}), 422, media_type="application/json")


async def _refuse_body(_: Request, __: Exception) -> Response:
    """FastAPI has no place for a body that it cannot even decode."""
    issue = {"loc": ["body"], "msg": "is not JSON in UTF-8, or is nested too deeply", "type": "json_invalid"}
    return JSONResponse({"detail": [issue]}, 422)


router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.post("/predict", responses=FULL)
async def predict(request: Request, body: PredictRequest) -> PredictReply:
    """Predict texts, all tasks in one pass over the encoder.

    Entities of a long text are predicted throughout; a class or number is predicted from its first subwords.
    """
    model, predictions = await _service(request).predict(body.texts, body.tasks, body.min_confidence)
    return PredictReply(model=model.version, predictions=predictions)


@router.get("/health")
async def health(request: Request) -> StateReply:
    """Whether the process is alive."""
    return StateReply(status="alive", model=_service(request).model.version)


@router.get("/ready")
async def ready(request: Request) -> StateReply:
    """Whether a model is loaded and requests are accepted."""
    return StateReply(status="ready", model=_service(request).model.version)


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST.partition(";")[0]: {}}}})
async def metrics(request: Request) -> Response:
    """Requests, latency, batches, queue and tokens for Prometheus."""
    return Response(_service(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/model")
async def model(request: Request) -> ModelReply:
    """Version, checksums, tasks and card of the model."""
    service = _service(request)
    served = service.model
    tasks = {
        name: TaskReply(
            type=info.type,
            label=served.labels[name],
            fields=list(info.fields),
            field=info.fields[served.tasks[name].field],
            classes=list(served.tasks[name].class_names),
            description=info.description,
        )
        for name, info in served.info.items()
    }
    return ModelReply(
        model=served.version,
        mtl=str(served.config["mtl"]),
        format=served.config["format"],
        checksums=served.checksums,
        tasks=tasks,
        card=served.card,
        corrections=service.settings.corrections is not None,
    )


@router.post("/reload", responses={409: {"model": Failure, "description": "The folder cannot be loaded; the old model stays."}})
async def reload(request: Request) -> StateReply:
    """Load the model folder again; no request is lost."""
    return StateReply(status="ready", model=await _service(request).reload())


@router.post(
    "/corrections",
    responses=FULL | {409: {"model": Failure, "description": "The service was started without a file for corrections, or it is full."}},
)
async def correct(request: Request, body: CorrectionRequest) -> CorrectionReply:
    """Append a labelled row to the file of corrections."""
    service = _service(request)
    if service.settings.corrections is None:
        raise HTTPException(409, "corrections are not saved: start the service with --corrections FILE")
    served, (predictions,) = await service.predict([body.text], [body.task])
    prediction = predictions[body.task]
    if prediction is None or not prediction.keys() & body.correction.model_fields_set:
        raise refusal(("correction",), f"{body.task} predicts {json.dumps(prediction, ensure_ascii=False)}; correct that")
    (fields,) = served.rows([body.text], [body.task])
    try:
        row = corrections.labelled_row(fields, served.tasks, served.labels, body.task, body.correction)
    except ValueError as error:
        raise refusal(("correction",), str(error)) from None
    row |= {"prediction": prediction, "model": served.version}
    try:
        await asyncio.to_thread(corrections.append, service.settings.corrections, row)
    except OSError as error:
        raise HTTPException(409, f"{service.settings.corrections}: cannot be written: {error.strerror or error}") from None
    return CorrectionReply(model=served.version, row=row)


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page to try the model."""
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": POLICY})
