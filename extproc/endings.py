"""Telling policies how an exchange ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from extproc.completion import Completion
from extproc.tasks import ends_us

if TYPE_CHECKING:
    from extproc.chain import Link

_log = logging.getLogger(__name__)
_SECONDS: Final = 30.0
"""How long one policy may take to settle one exchange: the others wait behind it."""


def tell(links: Iterable[Link], completion: Completion) -> Awaitable[None] | None:
    """Tell every policy how it ended. One that fails does not keep the others from knowing.

    An awaitable where one of them must wait: the others then know when it has been awaited.
    """
    rest = iter(links)
    for link in rest:
        pending = _told(link, completion)
        if pending is not None:
            return _tell_rest(pending, link, rest, completion)
    return None


async def _tell_rest(pending: Awaitable[None] | None, link: Link, links: Iterator[Link], completion: Completion) -> None:
    while True:
        if pending is not None:
            try:
                async with asyncio.timeout(_SECONDS):
                    await pending
            except BaseException as error:
                if ends_us(error):
                    raise
                _unsettled(link, completion)
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
