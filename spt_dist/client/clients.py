"""The two clients: one waits, one awaits; calls, answers and the rules of trying again are the same.

Tried again is what may go better a moment later: a full queue, a used up rate, a lost connection. Never beyond the
deadline; and under one idempotency key, so that a picture whose answer was lost is not drawn twice.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypedDict, Unpack

import httpx
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.stop import stop_base

from spt_dist.client.answers import (
    Annotated,
    BusyError,
    DeadlineError,
    Picture,
    UnreachableError,
    annotated,
    check,
    line,
    picture,
)
from spt_dist.client.calls import Call, File, Person, Pose, as_base64, person_fields, pose_fields

ADDRESS = "http://127.0.0.1:8000"
DEADLINE_S, TRIES = 30.0, 6
SLACK_S = 1.0  # beyond the deadline, in which the endpoint may say that it passed
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
AGAIN = (BusyError, UnreachableError)


class How(TypedDict, total=False):
    """How a picture is wanted."""

    format: str  # png (without), jpeg or webp
    seed: int | None  # of the noise that it is drawn with; without one there is none


class _Rules:
    """What both clients do with a call, but for sending it."""

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        deadline_s: float = DEADLINE_S,
        tries: int = TRIES,
        model: str | None = None,
    ) -> None:
        if deadline_s <= 0 or tries < 1:
            raise ValueError(
                f"`deadline_s` = {deadline_s} and `tries` = {tries}; give seconds above 0, and 1 try or more"
            )
        self.address, self.deadline_s, self.tries, self.model = address, deadline_s, tries, model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def _generate(self, person: Person, pose: Pose | File, how: How) -> Call:
        return Call.of("generate", person, self._options(how) | pose_fields(pose))

    def _transfer(self, wearer: Person, giver: Person, labels: Sequence[str], how: How) -> Call:
        wanted = {"labels": ",".join(labels) or None} | person_fields(giver, "giver_")
        return Call.of("transfer", wearer, self._options(how) | wanted)

    def _edit(self, person: Person, edit: str | None, new_parsing: File | None, how: How) -> Call:
        wanted = {"edit": edit, "new_parsing": None if new_parsing is None else as_base64(new_parsing)}
        return Call.of("edit", person, self._options(how) | wanted)

    def _poses(self, person: Person, poses: Sequence[Pose], how: How) -> Call:
        return Call.of("poses", person, self._options(how) | {"poses": [pose.tree for pose in poses]})

    def _options(self, how: How) -> dict[str, Any]:
        return {"format": "png", "model": self.model} | how

    def _request(self, call: Call, left_s: float) -> dict[str, Any]:
        """The arguments of httpx."""
        asked = {"Accept": "application/json", "Idempotency-Key": call.key, "Request-Timeout": f"{left_s:.3f}"}
        return {"json": call.fields, "headers": self._headers | asked, "timeout": left_s + SLACK_S}

    def _again(self, until: float) -> dict[str, Any]:
        """The arguments of tenacity."""
        return {
            "retry": retry_if_exception_type(AGAIN),
            "wait": _wait,
            "stop": _Stop(self.tries, until),
            "reraise": True,
        }

    def _left(self, until: float) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"no picture from {self.address} within {self.deadline_s:g} s; give it longer")
        return left

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say what a lost connection means."""
        try:
            yield
        except httpx.ReadTimeout:
            words = f"{self.address} did not answer within {self.deadline_s:g} s; is it stuck?"
            raise DeadlineError(words) from None
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            words = f"{self.address} does not answer ({why}); does it run, and is the address right?"
            raise UnreachableError(words) from None


class Client(_Rules):
    """Asks an endpoint and waits; `key` is an API key, `deadline_s` is for each call with all its tries.

    Calls raise one of `EndpointError`: RefusedError, BusyError, DeadlineError, UnreachableError.
    """

    def __init__(self, address: str = ADDRESS, **options: Any) -> None:
        super().__init__(address, **options)
        self._http = httpx.Client(base_url=address)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def annotate(self, image: File) -> Annotated:
        """The person in a photo: joints and parsing map."""
        return annotated(self._send(Call.of("annotate", Person(image), {})))

    def generate(self, person: Person, pose: Pose | File, **how: Unpack[How]) -> Picture:
        """The person in a pose, or in that of somebody's photo."""
        return picture(self._send(self._generate(person, pose, how)))

    def transfer(self, wearer: Person, giver: Person, labels: Sequence[str] = (), **how: Unpack[How]) -> Picture:
        """The wearer in the giver's clothes, or in those of the `labels` alone."""
        return picture(self._send(self._transfer(wearer, giver, labels, how)))

    def edit(
        self, person: Person, edit: str | None = None, *, new_parsing: File | None = None, **how: Unpack[How]
    ) -> Picture:
        """The person after a named edit, or repainted into a whole new parsing map."""
        return picture(self._send(self._edit(person, edit, new_parsing, how)))

    def poses(self, person: Person, poses: Sequence[Pose], **how: Unpack[How]) -> Iterator[Picture | Exception]:
        """The person in many poses, each as it is ready (`index` says which), or why there is none; not tried again."""
        call, until = self._poses(person, poses, how), time.monotonic() + self.deadline_s
        request = self._request(call, self._left(until))
        with self._reaching(), self._http.stream("POST", call.path, **request) as answer:
            if not answer.is_success:
                answer.read()
            check(answer)
            for text in answer.iter_lines():
                if (found := line(json.loads(text), answer.headers.get("x-request-id", ""))) is not None:
                    yield found

    def models(self) -> list[dict[str, Any]]:
        """What is served: id, size, digest of the weights."""
        with self._reaching():
            answer = self._http.get("/v1/models", headers=self._headers)
        check(answer)
        return answer.json()["models"]

    def _send(self, call: Call) -> httpx.Response:
        until = time.monotonic() + self.deadline_s
        return Retrying(**self._again(until))(self._try, call, until)

    def _try(self, call: Call, until: float) -> httpx.Response:
        with self._reaching():
            answer = self._http.post(call.path, **self._request(call, self._left(until)))
        check(answer)
        return answer


class AsyncClient(_Rules):
    """`Client` for those that await: the same methods and errors; `transport` is httpx's."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Any,
    ) -> None:
        super().__init__(address, **options)
        self._http = httpx.AsyncClient(base_url=address, transport=transport)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def annotate(self, image: File) -> Annotated:
        """The person in a photo: joints and parsing map."""
        return annotated(await self._send(Call.of("annotate", Person(image), {})))

    async def generate(self, person: Person, pose: Pose | File, **how: Unpack[How]) -> Picture:
        """The person in a pose, or in that of somebody's photo."""
        return picture(await self._send(self._generate(person, pose, how)))

    async def transfer(self, wearer: Person, giver: Person, labels: Sequence[str] = (), **how: Unpack[How]) -> Picture:
        """The wearer in the giver's clothes, or in those of the `labels` alone."""
        return picture(await self._send(self._transfer(wearer, giver, labels, how)))

    async def edit(
        self, person: Person, edit: str | None = None, *, new_parsing: File | None = None, **how: Unpack[How]
    ) -> Picture:
        """The person after a named edit, or repainted into a whole new parsing map."""
        return picture(await self._send(self._edit(person, edit, new_parsing, how)))

    async def poses(
        self, person: Person, poses: Sequence[Pose], **how: Unpack[How]
    ) -> AsyncIterator[Picture | Exception]:
        """The person in many poses, each as it is ready (`index` says which), or why there is none; not tried again."""
        call, until = self._poses(person, poses, how), time.monotonic() + self.deadline_s
        with self._reaching():
            async with self._http.stream("POST", call.path, **self._request(call, self._left(until))) as answer:
                if not answer.is_success:
                    await answer.aread()
                check(answer)
                async for text in answer.aiter_lines():
                    if (found := line(json.loads(text), answer.headers.get("x-request-id", ""))) is not None:
                        yield found

    async def models(self) -> list[dict[str, Any]]:
        """What is served: id, size, digest of the weights."""
        with self._reaching():
            answer = await self._http.get("/v1/models", headers=self._headers)
        check(answer)
        return answer.json()["models"]

    async def _send(self, call: Call) -> httpx.Response:
        until = time.monotonic() + self.deadline_s
        return await AsyncRetrying(sleep=asyncio.sleep, **self._again(until))(self._try, call, until)

    async def _try(self, call: Call, until: float) -> httpx.Response:
        with self._reaching():
            answer = await self._http.post(call.path, **self._request(call, self._left(until)))
        check(answer)
        return answer


class _Stop(stop_base):
    """After so many tries, or where the next would come after the deadline."""

    def __init__(self, tries: int, until: float) -> None:
        self.tries, self.until = tries, until

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.attempt_number >= self.tries or time.monotonic() + retry_state.upcoming_sleep >= self.until


_backoff = wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S)


def _wait(state: RetryCallState) -> float:
    """As long as the endpoint says, or longer with every try, by chance, so that clients do not come back together."""
    error = state.outcome.exception() if state.outcome else None
    return max(getattr(error, "retry_after_s", 0.0), _backoff(state))
