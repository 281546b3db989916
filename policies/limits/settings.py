"""Settings of the limits policy: who may use how much, and what happens at the edge of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from extproc.policy import PolicySettings
from extproc.price import PICO
from policies.limits.limit import KINDS, Measure, Outage, OutputReserve
from policies.limits.redis_settings import RedisSettings
from policies.limits.subjects import Level

_MOST: Final = 10**12
_ORDER: Final = tuple(Level)

Amount = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
Share = Annotated[float, Field(gt=0, le=1)]


def _dollars(value: Any) -> Any:
    # YAML's 12.5 is a binary float: what was written is its shortest form.
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _whole_micros(value: Decimal) -> Decimal:
    # By the exact fraction: a product would be rounded to the 28 digits of Decimal's context, and look whole.
    numerator, denominator = value.as_integer_ratio()
    if numerator * PICO % denominator:
        raise ValueError("expected an amount of US dollars, with at most six decimals")
    return value


Dollars = Annotated[
    Decimal,
    BeforeValidator(_dollars, json_schema_input_type=float | str),
    Field(ge=0, le=1_000_000_000),
    AfterValidator(_whole_micros),
]


def _one_or_two(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _in_order(value: tuple[Level, ...]) -> tuple[Level, ...]:
    if len(set(value)) < len(value):
        raise ValueError("expected two different levels")
    if len(value) > 1 and Level.TENANT in value:
        raise ValueError("every subject belongs to a tenant already: `tenant` stands alone")
    return tuple(sorted(value, key=_ORDER.index))


Levels = Annotated[
    tuple[Level, ...],
    BeforeValidator(_one_or_two, json_schema_input_type=Level | tuple[Level, ...]),
    Field(min_length=1, max_length=2),
    AfterValidator(_in_order),
]
Glob = Annotated[str, Field(min_length=1, max_length=256, description="an exact name or a glob: * ? [...]")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Section):
    """Whom an entry is for. What is left out matches all; all that is said must match."""

    tenant: Annotated[Glob | None, Field(description="The tenant's configured name, or its id")] = None
    department: Glob | None = None
    role: Annotated[Glob | None, Field(description="One of the caller's roles")] = None
    user: Annotated[Glob | None, Field(description="The user's id")] = None
    app: Annotated[Glob | None, Field(description="The client application's id")] = None
    model: Annotated[Glob | None, Field(description="As clients name it")] = None
    agent: Glob | None = None


class LimitEntry(_Section):
    """Limits for one kind of subject. Of entries for the same subject and kind of limit, the last that matches counts."""

    subject: Levels
    match: Match = Match()
    requests_per_minute: Amount | None = None
    requests_per_day: Amount | None = None
    requests_per_month: Amount | None = None
    tokens_per_minute: Amount | None = None
    tokens_per_day: Amount | None = None
    tokens_per_month: Amount | None = None
    dollars_per_day: Dollars | None = None
    dollars_per_month: Dollars | None = None
    parallel_requests: Amount | None = None
    soft: Annotated[Share, Field(description="The share from which on callers are warned; 1 for never")] = 0.8
    output_reserve: OutputReserve = OutputReserve.CEILING
    outage: Annotated[
        Outage | None, Field(description="While Redis is away; left out: rates `local`, budgets `closed`")
    ] = None
    allowance: Annotated[
        Dollars | None, Field(description="With `outage: allowance`: what all workers together may let through")
    ] = None
    shadow: Annotated[bool, Field(description="Count, and do not enforce")] = False

    @model_validator(mode="after")
    def _limits_something(self) -> LimitEntry:
        if not self.amounts():
            raise ValueError(f"expected at least one limit: {', '.join(KINDS)}")
        if (self.outage is Outage.ALLOWANCE) != (self.allowance is not None):
            raise ValueError("`outage: allowance` and `allowance` belong together")
        if self.allowance is not None and len(self.amounts()) > 1:
            raise ValueError("`allowance` is in the unit of the limit: an entry with it states one limit")
        if self.allowance is not None and not self._in_dollars() and self.allowance % 1:
            raise ValueError("`allowance` is in the unit of the limit: expected a whole number")
        return self

    def amounts(self) -> Mapping[str, int]:
        """The limits that are stated, in the units in which they are counted."""
        stated: dict[str, int] = {}
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if value is not None:
                stated[name] = int(value * PICO) if kind.measure is Measure.DOLLARS else int(value)
        return stated

    def counted_allowance(self) -> int:
        """The allowance in the unit in which the limit is counted."""
        if self.allowance is None:
            return 0
        return int(self.allowance * PICO) if self._in_dollars() else int(self.allowance)

    def _in_dollars(self) -> bool:
        return any(KINDS[name].measure is Measure.DOLLARS for name in self.amounts())


class Weights(_Section):
    """What a token of each kind counts as against limits of tokens. Reasoning tokens are part of the output."""

    input: Annotated[float, Field(ge=0, le=100)] = 1.0
    cached_input: Annotated[float, Field(ge=0, le=100)] = 1.0
    cache_write: Annotated[float, Field(ge=0, le=100)] = 1.0
    output: Annotated[float, Field(ge=0, le=100)] = 1.0
    reasoning: Annotated[float, Field(ge=0, le=100)] = 1.0


def _zone_name(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("expected the name of a time zone such as Europe/Berlin") from error
    return value


class LimitsSettings(PolicySettings):
    """How much may be used, by whom, and how it is counted."""

    redis: RedisSettings
    limits: tuple[LimitEntry, ...] = (
        LimitEntry(subject=(Level.USER,), requests_per_minute=60),
        LimitEntry(subject=(Level.TENANT,), tokens_per_minute=100_000),
    )
    time_zone: Annotated[str, AfterValidator(_zone_name), Field(description="In which days and months begin")] = "UTC"
    weights: Weights = Weights()
    max_output: Annotated[
        int, Field(ge=1, le=10_000_000, strict=True, description="Tokens, for models that state no `max_output`")
    ] = 4_096
    min_output: Annotated[
        int, Field(ge=1, le=100_000, strict=True, description="A budget that allows fewer tokens than this refuses")
    ] = 16
    hidden_input: Annotated[
        int,
        Field(ge=0, le=10_000_000, strict=True, description="Tokens reserved for input that is stored at the provider"),
    ] = 8_192
    budget_status: Annotated[Literal[403, 429], Field(description="The status where a budget is used up")] = 429
    lease: Annotated[
        float | None,
        Field(ge=1, le=86_400, description="Seconds; left out: longer than an exchange can last"),
    ] = None
    session_header: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="names the caller's session")] = (
        "x-session-id"
    )
    local_for: Annotated[
        float, Field(ge=0, le=86_400, description="Seconds without Redis after which `local` limits close as well")
    ] = 300.0
    spool: Annotated[
        str | None,
        Field(description="A directory, for usage that was let through while Redis was away and is not yet counted"),
    ] = None
