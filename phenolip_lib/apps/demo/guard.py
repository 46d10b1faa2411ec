"""What the server adds to Gradio's answers: security headers, and one line where a request fails or must wait."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from starlette.responses import PlainTextResponse

from phenolip_lib.core.errors import brief
from phenolip_lib.core.runtime import log

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio compiles its templates in the browser
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class Headers:
    """ASGI middleware that adds the security headers to every answer, and says a failure in one line."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        started = False

        async def sending(message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            await self.app(scope, receive, sending)
        except Exception:
            OneLine().print_exc()
            if not started:
                await PlainTextResponse("This request cannot be answered.", 400)(scope, receive, sending)


class OneLine:
    """In place of `traceback` in Gradio's modules: a request that no page would send is a line in the log."""

    def __getattr__(self, name: str):
        return getattr(traceback, name)

    def print_exc(self, *_, **__) -> None:
        error = sys.exc_info()[1]
        log.info("demo: a request failed (%s: %s)", type(error).__name__, brief(error, 160))


def telling(push: Callable, reply: str) -> Callable:
    """Gradio's way into the queue, with another reply where it is full."""

    async def told(*args, **options):
        done, answer, state = await push(*args, **options)
        if state == "queue_full":
            answer = reply
        return done, answer, state

    return told
