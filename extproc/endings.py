"""Telling policies how an exchange ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, TypeAlias

from extproc.completion import Completion
from extproc.tasks import ends_us

if TYPE_CHECKING:
    from extproc.chain import Link

Took: TypeAlias = Callable[[str, int], int]
_log = logging.getLogger(__name__)
_SECONDS: Final = 30.0
"""How long one policy may take to settle one exchange: the others wait behind it."""


def _untimed(_: str, began: int) -> int:
    return began


def tell(links: Iterable[Link], completion: Completion, took: Took = _untimed) -> Awaitable[None] | None:
    """Tell every policy how it ended. One that fails does not keep the others from knowing.

    `took` is told of every policy when it began, and says what time it is (both nanoseconds of `perf_counter_ns`).
    An awaitable where one of them must wait: the others then know when it has been awaited.
    """
    rest = iter(links)
    began = perf_counter_ns()
    for link in rest:
        pending = _told(link, completion)
        if pending is not None:
            return _tell_rest(pending, link, rest, completion, took=took, began=began)
        began = took(link.policy.name, began)
    return None


async def _tell_rest(
    pending: Awaitable[None] | None,
    link: Link,
    links: Iterator[Link],
    completion: Completion,
    *,
    took: Took,
    began: int,
) -> None:
    while True:
        if pending is not None:
            try:
                async with asyncio.timeout(_SECONDS):
                    await pending
            except BaseException as error:
                if ends_us(error):
                    raise
                _unsettled(link, completion)
        began = took(link.policy.name, began)
        following = next(links, None)
        if following is None:
            return
        link = following
        pending = _told(link, completion)


def _told(link: Link, completion: Completion) -> Awaitable[None] | None:
    try:
        return link.policy.on_settle(completion)
    except BaseException as error:
        if ends_us(error):
            raise
        _unsettled(link, completion)
        return None


def _unsettled(link: Link, completion: Completion) -> None:
    _log.exception("policy %s failed to settle exchange %s", link.policy.name, completion.id)
