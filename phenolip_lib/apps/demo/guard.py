"""What the demo's server says beside the page: headers that keep the page to itself, one line for a failed request."""

from __future__ import annotations

import sys
import traceback

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
    """ASGI middleware that adds the security headers to every answer."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        async def sending(message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


class OneLine:
    """In place of `traceback` in Gradio's modules: a request that no page would send is a line in the log."""

    def __getattr__(self, name: str):
        return getattr(traceback, name)

    def print_exc(self, *_, **__) -> None:
        error = sys.exc_info()[1]
        log.info("demo: a request failed (%s: %s)", type(error).__name__, brief(error, 160))
