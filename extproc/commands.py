"""What commands of policies share: which configuration is meant, who does it, and how what was expected to fail ends.

The configuration is the last argument, as in `sluicegate check CONFIG`, or `--config FILE`: both say the same. Only where
the arguments before it vary in number is it an option alone.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import getpass
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from extproc.mistakes import ConfigurationError
from extproc.printing import complain, fault, harmless

STATE: Final = Path(".sluicegate")
"""The state directory of `sluicegate up`, where none is named."""
Config = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG", help="The server's configuration. Left out: of `sluicegate up`.", show_default=False
    ),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="CONFIG, as an option.")]
OnlyConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The server's configuration: an option here, where arguments vary in number. Left out: of `sluicegate up`.",
    ),
]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state directory of `sluicegate up`.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it. Left out: the login name.")]

_WHO: Final = 64
"""Characters of a name that goes on record."""
_Faults = tuple[type[Exception], ...]


def named(config: Config = None, config_option: ConfigOption = None) -> Path | None:
    """The configuration that was named, in either way; None if none was. For `taking`."""
    if config is not None and config_option is not None:
        raise typer.BadParameter("the configuration is named already: expected CONFIG or --config", param_hint="--config")
    return config_option if config is None else config


def taking(**makers: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command of which functions make some parameters: in the place of each stands, on the command line, what
    its function takes. So what several commands take is declared once.

    Args:
        makers: by the name of the parameter that they make. What they take has names of its own, and defaults.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        taken = {name: inspect.signature(make, eval_str=True).parameters for name, make in makers.items()}
        spread = [one for each in own for one in (taken[each.name].values() if each.name in taken else (each,))]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            made = {name: make(**{one: given.pop(one) for one in taken[name]}) for name, make in makers.items()}
            command(**given, **made)

        # Where typer looks for what a command takes.
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in spread]
        )
        run.__annotations__ = {one.name: one.annotation for one in spread}
        return run

    return decorate


def who(by: str | None) -> str:
    """Who does it, for the record: what was said, or the login name."""
    if by is None:
        try:
            by = getpass.getuser()
        except (KeyError, OSError):
            # A container whose user has no name.
            by = f"uid {os.getuid()}"
    return harmless(by)[:_WHO]


@contextlib.contextmanager
def told(logger: str | None = None, *, wrong: _Faults = (), failed: _Faults = ()) -> Iterator[None]:
    """Tell faults that are expected meanwhile, in a line each, and end: exit status 2 for what was typed or configured
    wrongly, 1 for what could not be done. A `ConfigurationError` and an `OSError` are always expected.

    Args:
        logger: of the policy. What goes wrong is told here, once, and not by its log as well.
        wrong: what was typed cannot be meant.
        failed: it could not be done.

    Raises:
        typer.Exit: something was told.
    """
    if logger is not None:
        logging.getLogger(logger).addHandler(logging.NullHandler())
    try:
        yield
    except (*wrong, *failed) as error:
        complain(str(error))
        raise typer.Exit(2 if isinstance(error, wrong) else 1) from None
    except ConfigurationError as error:
        for mistake in error.mistakes:
            complain(mistake)
        if error.more:
            complain("more may follow when these are mended")
        raise typer.Exit(2) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Whoever read has seen enough: `| head`.
            raise
        complain(fault(error))
        raise typer.Exit(1) from None
