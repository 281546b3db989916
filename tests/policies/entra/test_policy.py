"""The policy as a whole: every attack on a token, and what each caller is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from extproc.exchange import Exchange
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE
from extproc.policy import Policy
from policies.entra import EntraPolicy
from policies.entra.issuer import KeyPlace
from tests.entra_tokens import (
    ABSENT,
    ALICE,
    API,
    CLIENT,
    CONTOSO,
    FABRIKAM,
    ROBOT,
    STRANGER,
    Issuer,
    assemble,
    b64,
    private_key,
)
from tests.policies.entra.world import NOW, World, bearing, rejected, request

MSA = "9188040d-6c67-4c5b-b112-36a304b66dad"


async def _ready(**changes: Any) -> World:
    world = World(**changes)
    for place in world.keys._places:
        await world.keys.refresh(place)
    return world


@pytest.mark.parametrize(
    ("mint", "expected"),
    [
        (
            {"roles": ["User"], "groups": [ROBOT]},
            {"user": ALICE, "kind": CallerKind.USER, "roles": {"User"}, "scopes": {"access_as_user"}, "groups": {ROBOT}},
        ),
        ({"version": "1.0", "aud": "api://gateway"}, {"user": ALICE, "app": CLIENT, "kind": CallerKind.USER}),
        ({"version": "1.0", "aud": "api://gateway/"}, {"user": ALICE}),
        ({"version": "1.0", "aud": API}, {"user": ALICE}),
        ({"app_only": True}, {"user": ROBOT, "kind": CallerKind.APP, "roles": {"Gateway.Call"}, "scopes": set()}),
        ({"app_only": True, "version": "1.0"}, {"user": ROBOT, "kind": CallerKind.APP}),
        ({"app_only": True, "idtyp": ABSENT}, {"kind": CallerKind.APP}),
        ({"idtyp": ABSENT}, {"kind": CallerKind.USER}),
        ({"tid": FABRIKAM}, {"tenant": FABRIKAM, "tenant_name": "fabrikam"}),
        ({"email": "boss@contoso.com", "upn": "boss@contoso.com", "name": "Boss"}, {"user": ALICE}),
    ],
)
async def test_who_calls(mint: dict[str, Any], expected: dict[str, Any]) -> None:
    world = await _ready()
    tenant = mint.pop("tid", CONTOSO)
    outcome, exchange = await world.bear(world.token(tenant, **mint))
    assert outcome is CONTINUE
    identity = exchange.need(Identity)
    assert {name: getattr(identity, name) for name in expected} == expected
    assert identity.app == CLIENT
    assert identity.token_id


def _with_public_key_as_secret(world: World) -> str:
    """HS256 with the public key as the secret: the classic confusion of algorithms."""
    pem = (
        private_key("key-1")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    header = {"typ": "JWT", "alg": "HS256", "kid": "key-1"}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(world.issuer.claims(now=NOW)).encode())}"
    return f"{signed}.{b64(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"


def _unsigned(world: World) -> str:
    return ".".join([*_parts(world.token(header={"alg": "none"}))[:2], ""])


def _parts(token: str) -> list[str]:
    return token.split(".")


def _raised(world: World) -> str:
    """A good token whose payload was exchanged for one with a better role."""
    header, _, signature = _parts(world.token(roles=["User"]))
    return f"{header}.{_parts(world.token(roles=['OrgAdmin']))[1]}.{signature}"


def _flipped(world: World) -> str:
    header, payload, signature = _parts(world.token())
    return f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _duplicate(world: World) -> str:
    claims = json.dumps(world.issuer.claims(now=NOW))
    return assemble({"typ": "JWT", "alg": "RS256", "kid": "key-1"}, (claims[:-1] + f',"tid":"{FABRIKAM}"}}').encode())


def _minted(*arguments: Any, **changes: Any) -> Callable[[World], str]:
    return lambda world: world.token(*arguments, **changes)


ATTACKS: list[tuple[str, Callable[[World], str], int, str, str]] = [
    # Form and header (the rest of these stand in test_token.py)
    ("alg none, signed", _minted(header={"alg": "none"}), 401, "invalid_token", "algorithm"),
    ("alg none, unsigned", _unsigned, 401, "invalid_token", "algorithm"),
    ("HS256 with the public key", _with_public_key_as_secret, 401, "invalid_token", "algorithm"),
    ("unknown crit", _minted(header={"crit": ["x"]}), 401, "invalid_token", "critical_header"),
    ("jku", _minted(header={"jku": "https://evil.example"}), 401, "invalid_token", "own_key"),
    ("jwk", _minted(key="evil", header={"kid": "key-1", "jwk": {}}), 401, "invalid_token", "own_key"),
    ("kid is a number", _minted(header={"kid": 7}), 401, "invalid_token", "key_id"),
    ("nonce header (Graph)", _minted(header={"nonce": "n"}), 401, "invalid_token", "other_resource"),
    ("wrong typ", _minted(header={"typ": "dpop+jwt"}), 401, "invalid_token", "type"),
    ("duplicate claims", _duplicate, 401, "invalid_token", "bad_json"),
    ("an API key of another gateway", lambda _: "sk-live-0123456789", 401, "invalid_token", "not_a_jwt"),
    ("encrypted", lambda _: "a.b.c.d.e", 401, "invalid_token", "encrypted"),
    ("a junk token of a megabyte", lambda _: "A" * 1_000_000, 401, "invalid_token", "too_long"),
    ("padding in a segment", lambda world: world.token() + "==", 400, "invalid_request", "malformed_field"),
    # Issuer, tenant, key
    ("tenant not on the list", _minted(STRANGER), 401, "invalid_token", "tenant_not_allowed"),
    ("tid is not a GUID", _minted("../common"), 401, "invalid_token", "tenant_id"),
    ("tid in upper case", _minted(tid="ABCDEF00-0000-4000-8000-000000000000"), 401, "invalid_token", "tenant_id"),
    ("tid is a list", _minted(tid=[CONTOSO]), 401, "invalid_token", "tenant_id"),
    ("no tid", _minted(tid=ABSENT), 401, "invalid_token", "tenant_id"),
    ("tid of a neighbour, iss of our own", _minted(tid=FABRIKAM), 401, "invalid_token", "issuer"),
    ("iss of a neighbour", _minted(iss=Issuer().issuer(FABRIKAM)), 401, "invalid_token", "issuer"),
    ("iss of another cloud", _minted(iss=f"https://login.evil.example/{CONTOSO}/v2.0"), 401, "invalid_token", "issuer"),
    ("iss with a slash more", _minted(iss=Issuer().issuer(CONTOSO) + "/"), 401, "invalid_token", "issuer"),
    ("iss in upper case", _minted(iss=Issuer().issuer(CONTOSO).upper()), 401, "invalid_token", "issuer"),
    ("iss is the template", _minted(iss=Issuer().issuer("common")), 401, "invalid_token", "issuer"),
    ("iss is a list", _minted(iss=[Issuer().issuer(CONTOSO)]), 401, "invalid_token", "issuer"),
    ("no iss", _minted(iss=ABSENT), 401, "invalid_token", "issuer"),
    ("version 1 with the issuer of 2", _minted(ver="1.0", appid=CLIENT), 401, "invalid_token", "issuer"),
    ("ver is a number", _minted(ver=2.0), 401, "invalid_token", "version"),
    ("unknown version", _minted(ver="3.0"), 401, "invalid_token", "version"),
    ("no ver", _minted(ver=ABSENT), 401, "invalid_token", "version"),
    ("somebody else's key", _minted(key="evil"), 401, "invalid_token", "unknown_key"),
    (
        "somebody else's key under our kid",
        _minted(key="evil", header={"kid": "key-1"}),
        401,
        "invalid_token",
        "signature",
    ),
    ("payload exchanged", _raised, 401, "invalid_token", "signature"),
    ("signature flipped", _flipped, 401, "invalid_token", "signature"),
    # Time
    ("expired", _minted(now=NOW - 3_660), 401, "invalid_token", "expired"),
    ("no exp", _minted(exp=ABSENT), 401, "invalid_token", "claim"),
    ("exp is a string", _minted(exp=str(int(NOW) + 600)), 401, "invalid_token", "claim"),
    ("exp is a float", _minted(exp=NOW + 600.5), 401, "invalid_token", "claim"),
    ("exp is infinite", _minted(exp=10**400), 401, "invalid_token", "bad_json"),
    ("exp is true", _minted(exp=True), 401, "invalid_token", "claim"),
    ("exp is null", _minted(exp=None), 401, "invalid_token", "claim"),
    ("exp before iat", _minted(exp=int(NOW) - 10), 401, "invalid_token", "claim"),
    ("no iat", _minted(iat=ABSENT), 401, "invalid_token", "claim"),
    ("not valid yet", _minted(now=NOW + 61), 401, "invalid_token", "not_yet_valid"),
    # Audience
    ("for Graph", _minted(aud="https://graph.microsoft.com"), 401, "invalid_token", "other_resource"),
    ("for Graph, by id", _minted(aud="00000003-0000-0000-c000-000000000000"), 401, "invalid_token", "other_resource"),
    ("for another API", _minted(aud=CLIENT), 401, "invalid_token", "audience"),
    ("for a longer URI", _minted(aud="api://gateway/other"), 401, "invalid_token", "audience"),
    ("aud is a list with ours", _minted(aud=[API]), 401, "invalid_token", "audience"),
    ("no aud", _minted(aud=ABSENT), 401, "invalid_token", "audience"),
    # Kind and permission
    ("an ID token", _minted(azp=ABSENT, scp=ABSENT, roles=["OrgAdmin"]), 401, "invalid_token", "not_an_access_token"),
    ("an ID token with azp", _minted(nonce="n"), 401, "invalid_token", "not_an_access_token"),
    ("version 2 with appid only", _minted(azp=ABSENT, appid=CLIENT), 401, "invalid_token", "not_an_access_token"),
    ("azp is not a GUID", _minted(azp="client"), 401, "invalid_token", "claim"),
    ("no oid", _minted(oid=ABSENT), 401, "invalid_token", "no_object_id"),
    ("oid is an address", _minted(oid="alice@contoso.com"), 401, "invalid_token", "claim"),
    ("app with scopes", _minted(app_only=True, scp="access_as_user"), 401, "invalid_token", "caller_kind"),
    ("app of a public client", _minted(app_only=True, azpacr="0"), 401, "invalid_token", "caller_kind"),
    ("unknown idtyp", _minted(idtyp="device"), 401, "invalid_token", "caller_kind"),
    (
        "roles, no scp, no idtyp, a user",
        _minted(scp=ABSENT, idtyp=ABSENT, roles=["A"]),
        401,
        "invalid_token",
        "caller_kind",
    ),
    ("an app without roles", _minted(app_only=True, roles=ABSENT), 403, "insufficient_scope", "no_permission"),
    ("an app with no role left", _minted(app_only=True, roles=[]), 403, "insufficient_scope", "no_permission"),
    ("a user without scope and role", _minted(scp=ABSENT), 403, "insufficient_scope", "no_permission"),
    ("a user with a role, without scope", _minted(scp=ABSENT, roles=["A"]), 403, "insufficient_scope", "no_permission"),
    ("roles is a string", _minted(roles="OrgAdmin"), 401, "invalid_token", "claim"),
    ("roles holds a list", _minted(roles=[["OrgAdmin"]]), 401, "invalid_token", "claim"),
    ("roles holds a line break", _minted(roles=["User\r\nx-admin: 1"]), 401, "invalid_token", "claim"),
    ("scp is a list", _minted(scp=["access_as_user"]), 401, "invalid_token", "claim"),
    ("scp is empty", _minted(scp=""), 401, "invalid_token", "claim"),
]


@pytest.mark.parametrize(
    ("mint", "status", "code", "reason"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
async def test_attacks(mint: Callable[[World], str], status: int, code: str, reason: str) -> None:
    world = await _ready()
    token = mint(world)
    outcome, exchange = await world.bear(token)
    reject = rejected(outcome)
    assert (reject.status, reject.code, reject.why.partition(":")[0]) == (status, code, reason)
    assert exchange.get(Identity) is None
    assert token not in repr(reject)
    assert [name for name, _ in reject.headers] == ["www-authenticate"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ([], 401, "missing_credentials"),
        ([("authorization", "Basic dXNlcjpwYXNz")], 401, "missing_credentials"),
        ([("authorization", "Bearer a.b.c,Bearer a.b.c")], 400, "invalid_request"),
        ([("authorization", "Bearer a.b.c"), ("api-key", "x.y.z")], 400, "invalid_request"),
        ([("x-tenant-id", CONTOSO), ("x-user-roles", "OrgAdmin")], 401, "missing_credentials"),
    ],
)
async def test_requests_without_one_token(fields: list[tuple[str, str]], status: int, code: str) -> None:
    reject = rejected(await World().ask(request(*fields)))
    assert (reject.status, reject.code) == (status, code)


async def test_a_missing_credential_is_challenged_without_an_error() -> None:
    assert rejected(await World().ask(request())).headers == (("www-authenticate", 'Bearer realm="sluicegate"'),)


async def test_nobody_finds_out_by_trying_which_tenants_are_customers() -> None:
    world = await _ready()
    stranger = rejected((await world.bear(world.token(STRANGER, key="evil")))[0])
    customer = rejected((await world.bear(world.token(CONTOSO, key="evil")))[0])
    forged = rejected((await world.bear(world.token(CONTOSO, key="evil", header={"kid": "key-1"})))[0])
    assert stranger.why != customer.why != forged.why
    for other in (customer, forged):
        assert (stranger.status, stranger.code, stranger.message, stranger.headers) == (
            other.status,
            other.code,
            other.message,
            other.headers,
        )


async def test_only_tenants_on_the_list_are_ever_fetched() -> None:
    world = World()
    await world.bear(world.token(STRANGER))
    assert world.source.fetched == []


@pytest.mark.parametrize("leeway", [0, 60, 300])
async def test_the_leeway_is_exact(leeway: int) -> None:
    world = await _ready(leeway=leeway, max_age=604_800)
    token = world.token(now=NOW)
    world.clock.now = NOW + 3600 + leeway - 1
    assert (await world.bear(token))[0] is CONTINUE
    world.clock.now += 1
    assert rejected((await world.bear(token))[0]).why.startswith("expired")
    world = await _ready(leeway=leeway)
    world.clock.now = NOW - leeway - 1
    assert rejected((await world.bear(token))[0]).why.startswith("not_yet_valid")
    world.clock.now += 1
    assert (await world.bear(token))[0] is CONTINUE


class TestCommonKeys:
    """`keys: common`: one key set for all tenants, each key bound to an issuer."""

    async def world(self, entry_issuer: Any, **changes: Any) -> World:
        issuer = Issuer()

        world = World(issuer, keys="common", **changes)
        original = issuer.jwks
        issuer.jwks = lambda tid=CONTOSO, version="2.0": (  # type: ignore[method-assign]
            {"keys": [issuer.jwk("key-1", issuer=entry_issuer)]} if entry_issuer is not None else original(tid, version)
        )
        await world.keys.refresh(KeyPlace("common", "2.0"))
        return world

    @pytest.mark.parametrize("version", ["1.0", "2.0"])
    @pytest.mark.parametrize(
        "entry", [None, "https://login.microsoftonline.com/{TenantID}/v2.0", Issuer().issuer(CONTOSO)]
    )
    async def test_a_key_signs_for_its_issuer(self, version: str, entry: str | None) -> None:
        world = await self.world(entry)
        outcome, _ = await world.bear(world.token(CONTOSO, version=version))
        assert outcome is CONTINUE
        assert world.source.fetched == [KeyPlace("common", "2.0")]

    @pytest.mark.parametrize(
        "entry",
        [
            ABSENT,
            f"https://login.microsoftonline.com/{MSA}/v2.0",
            "https://login.microsoftonline.us/{tenantid}/v2.0",
            "{tenantid}",
            Issuer().issuer(FABRIKAM),
        ],
    )
    async def test_a_key_does_not_sign_for_other_issuers(self, entry: Any) -> None:
        world = await self.world(entry)
        reject = rejected((await world.bear(world.token(CONTOSO)))[0])
        assert (reject.code, reject.why.partition(":")[0]) == ("invalid_token", "key_issuer")

    async def test_the_allow_list_holds(self) -> None:
        world = await self.world(None)
        assert rejected((await world.bear(world.token(STRANGER)))[0]).why.startswith("tenant_not_allowed")

    async def test_any_tenant_on_request_only(self) -> None:
        world = await self.world(None, tenants=[], any_tenant=True)
        outcome, exchange = await world.bear(world.token(STRANGER))
        assert outcome is CONTINUE
        assert exchange.need(Identity).tenant_name == ""


async def test_a_tenants_key_pinned_to_another_tenant_does_not_sign() -> None:
    world = World()
    world.issuer.jwks = lambda *_: {"keys": [world.issuer.jwk("key-1", issuer=Issuer().issuer(FABRIKAM))]}  # type: ignore[method-assign]
    reject = rejected((await world.bear(world.token(CONTOSO)))[0])
    assert reject.why.startswith("key_issuer")


async def test_a_known_token_and_a_known_key_are_answered_without_waiting() -> None:
    world = await _ready()
    token = world.token()
    first = world.policy.on_request_headers(bearing(token))
    assert first is CONTINUE, "the key is known"
    assert len(world.policy._verified) == 1
    exchange = bearing(token)
    assert world.policy.on_request_headers(exchange) is CONTINUE
    assert exchange.need(Identity).user == ALICE


async def test_a_remembered_token_ends_with_its_expiry() -> None:
    world = await _ready(leeway=0)
    token = world.token()
    assert (await world.bear(token))[0] is CONTINUE
    world.clock.now += 3600
    assert rejected((await world.bear(token))[0]).why.startswith("expired")
    assert len(world.policy._verified) == 0


async def test_a_remembered_token_ends_with_its_key() -> None:
    world = await _ready()
    token = world.token()
    assert (await world.bear(token))[0] is CONTINUE
    world.issuer.keys = ["key-2"]
    await world.keys.refresh(KeyPlace(CONTOSO, "2.0"))
    reject = rejected((await world.bear(token))[0])
    assert reject.why.startswith("unknown_key")


async def test_a_remembered_token_ends_when_keys_are_too_old() -> None:
    world = await _ready(refresh=60, max_age=60)
    token = world.token()
    assert (await world.bear(token))[0] is CONTINUE
    world.source.down = True
    world.clock.now += 61
    reject = rejected((await world.bear(token))[0])
    assert (reject.status, reject.code) == (503, "identity_provider_unavailable")


async def test_a_token_that_differs_in_its_signature_is_not_remembered() -> None:
    world = await _ready()
    assert (await world.bear(world.token()))[0] is CONTINUE
    assert rejected((await world.bear(_flipped(world)))[0]).why.startswith("signature")


async def test_the_provider_is_down_at_start_and_comes_back() -> None:
    world = World()
    world.source.down = True
    token = world.token()
    reject = rejected((await world.bear(token))[0])
    assert (reject.status, reject.code) == (503, "identity_provider_unavailable")
    assert reject.retry_after is not None
    assert reject.headers == ()
    assert "provider is down" in reject.why
    assert "provider is down" in (world.policy.readiness() or "")
    world.source.down = False
    assert rejected((await world.bear(token))[0]).status == 503, "not asked again at once"
    world.clock.now += 2
    assert (await world.bear(token))[0] is CONTINUE
    assert world.policy.readiness() is None


async def test_a_rotated_key_is_learnt_from_the_first_token_that_it_signs() -> None:
    world = await _ready()
    world.issuer.keys = ["key-2", "key-1"]
    answer = world.policy.on_request_headers(bearing(world.token(key="key-2")))
    assert inspect.isawaitable(answer)
    assert await answer is CONTINUE


async def test_many_unknown_keys_cause_one_fetch() -> None:
    world = await _ready()
    before = len(world.source.fetched)
    tokens = [world.token(header={"kid": f"unknown-{n}"}) for n in range(5)]
    outcomes = await asyncio.gather(*(world.bear(token) for token in tokens))
    assert {rejected(outcome).why.partition(":")[0] for outcome, _ in outcomes} == {"unknown_key"}
    assert len(world.source.fetched) == before + 1


@pytest.mark.parametrize(
    ("claims", "status", "error", "challenged"),
    [
        ({"acrs": ["c1", "c3"]}, None, None, False),
        ({"xms_cc": ["cp1"]}, 401, "insufficient_claims", True),
        ({"xms_cc": ["cp1"], "acrs": ["c2"]}, 401, "insufficient_claims", True),
        ({}, 403, "insufficient_scope", False),
        ({"acrs": "c1", "xms_cc": "cp1"}, 403, "insufficient_scope", False),
    ],
)
async def test_authentication_contexts(claims: dict[str, Any], status: int | None, error: str, challenged: bool) -> None:
    world = await _ready(required_acrs=["c1"])
    outcome, _ = await world.bear(world.token(**claims))
    if status is None:
        assert outcome is CONTINUE
        return
    reject = rejected(outcome)
    assert (reject.status, reject.code) == (status, "insufficient_claims")
    header = dict(reject.headers)["www-authenticate"]
    assert f'error="{error}"' in header
    assert ("claims=" in header) is challenged


async def test_dropped_facts_are_noted_also_for_a_remembered_token() -> None:
    world = await _ready(claims={"department": "dept"})
    token = world.token(dept="R&D\r\nx-admin: 1")
    for _ in range(2):
        outcome, exchange = await world.bear(token)
        assert outcome is CONTINUE
        assert exchange.need(Identity).department == ""
        assert any("department is dropped" in note for note in exchange.take_notes())


async def test_who_it_is_is_noted() -> None:
    world = await _ready()
    _, exchange = await world.bear(world.token(roles=["User", "Admin"], groups=[MSA, CONTOSO]))
    identity = exchange.need(Identity)
    tenant = identity.tenant_name or identity.tenant
    assert f"user {identity.user} of tenant {tenant}, roles Admin, User, 2 groups" in exchange.take_notes()


def test_the_contract_of_the_policy() -> None:
    hooks = ("on_request_headers", "on_request_body", "on_response_body", "on_settle")
    assert [hook for hook in hooks if EntraPolicy.overrides(hook)] == ["on_request_headers"]
    assert issubclass(EntraPolicy, Policy)
    assert EntraPolicy.provides == (Identity,)
    assert not EntraPolicy.may_fail_open


async def test_starting_does_not_wait_and_stopping_leaves_nothing_behind() -> None:
    world = World()
    world.source.held = asyncio.Event()
    await world.policy.start()
    await asyncio.sleep(0.01)
    assert world.source.fetched
    assert world.policy.readiness() == f"no signing keys of {CONTOSO} (version 1.0): not fetched yet"
    await world.policy.stop()
    assert world.source.closed
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_request_in_an_exchange_of_its_own() -> None:
    world = await _ready()
    exchange: Exchange = bearing(world.token())
    assert world.policy.on_request_headers(exchange) is CONTINUE
    assert list(exchange.facts()) == [exchange.need(Identity)]
