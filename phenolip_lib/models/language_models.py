"""Language models behind one small interface: prompts in, texts out.

`OpenAICompatible` speaks to any server with ``POST /v1/chat/completions`` (vLLM, llama.cpp, Ollama, a
hosted one), `LocalModel` runs a transformers model in this process. Both decode greedily.

The server is asked with urllib: the openai package (3.57) would bring 10 MB for one address, and it follows redirects
and asks a server that is not there again and again.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from phenolip_lib.core.errors import PhenoLIPError

MAX_TOKENS = 512
RETRIED = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})
REFUSED = frozenset({400, 413, 422})
"""What a server says of one prompt, such as one that is too long; other prompts may be answered."""
MAX_WAIT = 60.0


@dataclass(frozen=True)
class Unanswered:
    """Stands in the place of a text that could not be had."""

    reason: str


class Refiner(Protocol):
    """What refines captions."""

    name: str
    """Tells models apart whose answers differ."""

    def complete(self, prompts: list[str]) -> Sequence[str | Unanswered]:
        """One text a prompt, in order, or why there is none."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: urllib would send the key on to whatever host it names."""

    def redirect_request(self, *_: Any) -> None:
        return None


class OpenAICompatible:
    """A model behind a server that speaks the chat completions protocol.

    Args:
        url: address of the server, with or without ``/v1``.
        model: name of the model there.
        api_key_env: environment variable that holds the key; without it none is sent.
        timeout: seconds an answer may take.
        retries: how often a prompt is sent again after an overload, a server error or a timeout.
        parallel: requests under way at a time.
        pause: seconds before the first retry, doubled with each; a server's ``Retry-After`` goes first.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        retries: int = 3,
        parallel: int = 8,
        pause: float = 1.0,
    ) -> None:
        self.address = url.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
        self.model, self.api_key_env = model, api_key_env
        self.timeout, self.retries, self.parallel, self.pause = timeout, retries, parallel, pause
        self.name = f"{self.address}#{model}"

    def complete(self, prompts: list[str]) -> list[str | Unanswered]:
        """See `Refiner`.

        Raises:
            PhenoLIPError: the server is not there, or refuses every such request (key, model, address).
        """
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(self._one, prompts))

    def _one(self, prompt: str) -> str | Unanswered:
        reason = ""
        for attempt in range(self.retries + 1):
            try:
                return _content(self._post(prompt))
            except urllib.error.HTTPError as error:
                reason = f"no answer: HTTP {error.code}"
                asked = error.headers.get("Retry-After", "")
                error.close()
                if error.code in REFUSED:
                    return Unanswered(reason)
                if error.code not in RETRIED:
                    raise PhenoLIPError(
                        f"{self.address}: HTTP {error.code} ({error.reason}) for model {self.model!r}; "
                        f"check the address, the model and the key in {self.api_key_env}"
                    ) from None
                wait = float(asked) if asked.isdecimal() else self.pause * 2**attempt
            except (OSError, http.client.HTTPException) as error:
                cause = getattr(error, "reason", error)  # urllib wraps what happens while it connects
                cut = isinstance(cause, (TimeoutError, ConnectionError, http.client.HTTPException))
                if not cut or isinstance(cause, ConnectionRefusedError):
                    raise PhenoLIPError(
                        f"{self.address}: cannot be reached ({cause}); start the server or set phenokg.refine: rules"
                    ) from None
                reason, wait = f"no answer: {type(cause).__name__}", self.pause * 2**attempt
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                return Unanswered("no answer: the server's reply is no chat completion")
            if attempt < self.retries:
                time.sleep(min(wait, MAX_WAIT))
        return Unanswered(reason)

    def _post(self, prompt: str) -> Any:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "response_format": {"type": "json_object"},
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.api_key_env):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.address, json.dumps(body).encode(), headers)
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as reply:
            return json.loads(reply.read())


def _content(reply: Any) -> str:
    text = reply["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise TypeError("content is no text")
    return text


class LocalModel:
    """A causal language model of transformers in this process, loaded at its first use.

    Args:
        name: folder or hub name of the model.
        batch_size: prompts decoded together.
        max_new_tokens: longest answer.
    """

    def __init__(self, name: str, batch_size: int = 8, max_new_tokens: int = MAX_TOKENS) -> None:
        self.name, self.batch_size, self.max_new_tokens = name, batch_size, max_new_tokens

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from phenolip_lib.core.compat import transformers
        from phenolip_lib.core.runtime import pick_device

        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                self.name, padding_side="left", truncation_side="left"
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(self.name).to(pick_device("auto")).eval()
        except (OSError, ValueError, KeyError) as error:
            raise PhenoLIPError(f"{self.name}: cannot be loaded ({str(error).splitlines()[0]})") from None
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, model

    def complete(self, prompts: list[str]) -> list[str | Unanswered]:
        """See `Refiner`; equal prompts get equal answers.

        Raises:
            PhenoLIPError: the model cannot be loaded.
        """
        import torch

        tokenizer, model = self._parts
        if tokenizer.chat_template:
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
                )
                for text in prompts
            ]
        longest = getattr(model.config, "max_position_embeddings", 8192) - self.max_new_tokens
        texts: list[str | Unanswered] = []
        for start in range(0, len(prompts), self.batch_size):
            batch = tokenizer(
                prompts[start : start + self.batch_size],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
                add_special_tokens=not tokenizer.chat_template,
            ).to(model.device)
            try:
                tokens = model.generate(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    do_sample=False,
                    max_new_tokens=self.max_new_tokens,
                    pad_token_id=tokenizer.pad_token_id,
                )
            except torch.OutOfMemoryError:
                raise PhenoLIPError(
                    f"{self.name}: out of GPU memory with {len(batch['input_ids'])} prompts of "
                    f"{batch['input_ids'].shape[1]} tokens; name a smaller model or a server under phenokg.refine, "
                    "finished answers are kept"
                ) from None
            texts += tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return texts


def model_named(name: str) -> Refiner | None:
    """The model of a setting such as ``phenokg.refine``; None for ``none`` and ``rules``.

    Args:
        name: ``local:NAME`` (a transformers model: folder or hub name) or ``openai:URL#MODEL`` (a
            server that speaks the chat completions protocol; its key in ``OPENAI_API_KEY``).
    """
    kind, _, where = name.partition(":")
    if kind == "local":
        return LocalModel(where)
    if kind == "openai":
        url, _, model = where.rpartition("#")
        return OpenAICompatible(url, model)
    return None
