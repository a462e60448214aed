"""One page, several engines: `python -m explorer.ui.replicas --replicas 2`, with Ray Serve.

The page, its queue, its jobs and its visitors stay together in one process; the pictures, which are the work, are
rendered by replicas, each a process with an engine of its own, on this machine or on a Ray cluster that is running
already (RAY_ADDRESS). Needs requirements-serve.txt.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI
from starlette.middleware import Middleware

from explorer.edit import Edit, EditError
from explorer.engine import Engine
from explorer.refused import Refused
from explorer.ui.guard import Guard
from explorer.ui.page import build_ui
from explorer.ui.serve import Serving, settings, users
from explorer.weights import DEFAULT, Checkpoint, load

APP = "explorer"
VISITORS = 1000  # requests that the page may hold at once
ONGOING = 4  # requests that one renderer takes at once; the rest wait for whichever is free first
PLACE = {"num_cpus": 0.1}  # what Ray reserves: little, or a machine with few cores would never start them all
ANSWER_SECONDS = 120.0


class Renderer:
    """One replica: an engine that answers for pictures."""

    def __init__(self, source: str, device: str, precision: str) -> None:
        self.engine = Engine(load(source), device, precision)

    def __call__(self, edits: list[Edit], max_px: int | None) -> list[np.ndarray] | EditError:
        """Pictures; an error is returned, since one that is raised would arrive with Ray's own words around it."""
        try:
            return self.engine.render(edits, max_px)
        except EditError as error:
            return error


class RemoteEngine(Engine):
    """An engine whose pictures come from replicas. Codes and directions are its own.

    A generator that takes the place of the first (`replace`) is rendered here, until the replicas are started anew.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str, renderers: Any) -> None:
        super().__init__(checkpoint, device, precision)
        self._renderers = renderers

    def render(self, edit: Any, max_px: int | None = None) -> Any:
        if self._renderers is None:
            return super().render(edit, max_px)
        edits = [edit] if isinstance(edit, Edit) else list(edit)
        answer = self._renderers.remote(edits, max_px).result(timeout_s=ANSWER_SECONDS)
        if isinstance(answer, EditError):
            raise answer
        return answer[0] if isinstance(edit, Edit) else answer

    def replace(self, checkpoint: Checkpoint) -> None:
        super().replace(checkpoint)
        self._renderers = None


def page_app(engine: Engine, name: str, serving: Serving) -> FastAPI:
    """The page as an ASGI application, with the settings that `launch` uses."""
    page = build_ui(engine, name, public=serving.public)
    page.queue(api_open=False, max_size=serving.queue_limit)
    guard = Middleware(Guard, **serving.guarded)
    app = FastAPI(middleware=[guard], docs_url=None, redoc_url=None, openapi_url=None)
    return gr.mount_gradio_app(app, page, "/", root_path=serving.root_path or None, **settings(serving))


def application(source: str, device: str, precision: str, replicas: int, serving: Serving) -> Any:
    """What `ray.serve.run` takes: one page in front of `replicas` renderers."""
    from ray import serve  # type: ignore[import-not-found]

    def build() -> FastAPI:
        checkpoint = load(source)
        renderers = serve.get_deployment_handle("renderer", APP)
        return page_app(RemoteEngine(checkpoint, device, precision, renderers), checkpoint.meta["name"], serving)

    renderer = serve.deployment(
        Renderer, name="renderer", num_replicas=replicas, max_ongoing_requests=ONGOING, ray_actor_options=PLACE
    )
    page = serve.deployment(serve.ingress(build)(), name="page", max_ongoing_requests=VISITORS, ray_actor_options=PLACE)
    return page.bind(renderer.bind(source, device, precision))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m explorer.ui.replicas", description="One page, several engines.")
    parser.add_argument("--replicas", type=int, default=2, help="engines that render pictures")
    parser.add_argument("--checkpoint", default=str(DEFAULT), help="must be found on every machine of a cluster")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for it; or a file with one such line for each user"
    )
    parser.add_argument(
        "--root-path", default="", metavar="/PATH", help="where a proxy serves the page, if not at its /"
    )
    args = parser.parse_args(argv)
    try:
        if args.replicas < 1:
            raise Refused(f"--replicas must be at least 1, got {args.replicas}")
        serving = Serving(args.host, args.port, auth=users(args.auth), root_path=args.root_path)
        load(args.checkpoint)  # what is wrong with it is said here, in one sentence
        serve_forever(application(args.checkpoint, args.device, args.precision, args.replicas, serving), serving)
    except ImportError as error:
        return parser.exit(2, f"{error}: install what this needs with pip install -r requirements-serve.txt\n")
    except (Refused, OSError) as error:
        return parser.exit(2, f"{error}\n")
    return 0


def serve_forever(app: Any, serving: Serving) -> None:
    """On a running cluster where RAY_ADDRESS names one, else on this machine alone; until SIGINT or SIGTERM."""
    import ray  # type: ignore[import-not-found]
    from ray import serve  # type: ignore[import-not-found]

    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": serving.host, "port": serving.port})
    serve.run(app, name=APP, route_prefix="/")
    print(f"Domain Explorer is at http://{serving.host}:{serving.port}/ (stop it with Ctrl+C)", flush=True)
    ended = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):  # also where whoever started it ignores Ctrl+C
        signal.signal(kind, lambda *_: ended.set())
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    from explorer.ui import replicas  # by its name, under which the replicas find it too

    sys.exit(replicas.main())
