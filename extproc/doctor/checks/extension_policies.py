"""EnvoyExtensionPolicies: who judges which routes, how it is asked, and what stands beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.documents import Document, Resources
from extproc.doctor.expected import NAMESPACE, Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.quantities import seconds
from extproc.doctor.roles import code_changes, code_guards, code_meters, is_of_this_version, without_comments
from extproc.doctor.tree import Tree

_KIND: Final = "EnvoyExtensionPolicy"
_ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")
_DEFAULT_TIMEOUT: Final = 0.2
_DEFAULT_BREAKER: Final = 1024
BREAKERS: Final = ("maxConnections", "maxPendingRequests", "maxParallelRequests")


def extension_policies(resources: Resources, expected: Expected) -> Iterator[Finding]:
    """What is wrong with the policies by which the policy server is asked."""
    policies = resources.of(_KIND)
    for gateway in resources.of("Gateway"):
        about = [each for each in policies if _is_about(each, gateway)]
        if not any(_ours(each) for each in about):
            yield of(traps.POLICY_MISSING, gateway.where, "no EnvoyExtensionPolicy on it asks the policy server")
        for each in about:
            sections = [target.text("sectionName") for target in each.targets("Gateway") if target.has("sectionName")]
            if sections:
                yield of(traps.POLICY_BYPASSED, each.where, f"it is for the listener {sections[0]} alone")
    for each in policies:
        routed = any(each.targets(kind) for kind in _ROUTES)
        if not _ours(each):
            if routed:
                yield of(traps.POLICY_SHADOWED, each.where, "a policy of routes, without the policy server")
            continue
        if len(_ours(each)) > 1:
            yield of(traps.POLICY_TWICE, each.where, f"{len(_ours(each))} entries of extProc ask the policy server")
        for entry in _ours(each):
            yield from _asked(entry, each, expected, routed=routed)
            yield from _in_clear(entry, each, resources)
        yield from _scripts(each)


def _is_about(policy: Document, gateway: Document) -> bool:
    return any(target.text("name") in {"", gateway.name} for target in policy.targets("Gateway"))


def _ours(policy: Document) -> list[Tree]:
    """The entries that ask the policy server: by what they may write; else the first, whatever it is."""
    entries = policy.spec.items("extProc")
    return [each for each in entries if NAMESPACE in each.texts("metadata", "writableNamespaces")] or entries[:1]


def _asked(entry: Tree, policy: Document, expected: Expected, *, routed: bool) -> Iterator[Finding]:
    where = policy.where
    if entry.flag("failOpen"):
        yield of(traps.FAIL_OPEN, where, "failOpen: true")
    if entry.flag("shadowMode"):
        yield of(traps.OBSERVED_ONLY, where, "shadowMode: true")
    timeout = seconds(entry, "messageTimeout")
    if (_DEFAULT_TIMEOUT if timeout is None else timeout) <= expected.decision_timeout:
        said = "not set" if timeout is None else f"{timeout:g}s"
        decides = f"a decision may take {expected.decision_timeout:g}s"
        yield of(traps.MESSAGE_TIMEOUT, where, f"messageTimeout: {said}; {decides}")
    if NAMESPACE not in entry.texts("metadata", "writableNamespaces"):
        yield of(traps.VERDICT_NOT_RECEIVED, where, f"writableNamespaces without {NAMESPACE}")
    mode = entry.at("processingMode")
    if not mode.flag("allowModeOverride"):
        yield of(traps.MODE_OVERRIDE_FORBIDDEN, where, "allowModeOverride: false")
    if not mode.has("request"):
        yield of(traps.HEADERS_NOT_JUDGED, where, "processingMode has no request")
    body = mode.text("request", "body") or "None"
    # Routes of agents have a policy of their own, because their bodies are not for the policy server.
    if body != "Buffered" and not (routed and body == "None"):
        yield of(traps.BODY_NOT_JUDGED, where, f"processingMode.request.body: {body}")
    if mode.has("response"):
        body = mode.text("response", "body") or "None"
        yield of(traps.RESPONSE_FOR_NOTHING, where, f"processingMode.response, body: {body}")
    yield from _reached(entry.at("backendSettings"), where)


def _reached(settings: Tree, where: str) -> Iterator[Finding]:
    """How the policy server is reached."""
    low = [name for name in BREAKERS if (settings.number("circuitBreaker", name) or 0) <= _DEFAULT_BREAKER]
    if low:
        yield of(traps.CIRCUIT_BREAKER, where, f"backendSettings.circuitBreaker: {', '.join(low)} not above 1024")
    if not settings.has("http2") or not settings.at("http2").has("connectionKeepalive"):
        yield of(traps.HANGING_UNNOTICED, where, "backendSettings.http2 without connectionKeepalive")


def _in_clear(entry: Tree, policy: Document, resources: Resources) -> Iterator[Finding]:
    """A Backend says where it is, and may be on this machine; a Service is another."""
    secured = {target.text("name") for each in resources.of("BackendTLSPolicy") for target in each.targets("Service")}
    for ref in entry.items("backendRefs"):
        if ref.text("kind") in {"", "Service"} and ref.text("name") not in secured:
            yield of(traps.POLICY_IN_CLEAR, policy.where, f"no BackendTLSPolicy for the Service {ref.text('name')}")


def _scripts(policy: Document) -> Iterator[Finding]:
    codes = [entry.text("inline") for entry in policy.spec.items("lua")]
    bare = [without_comments(code) for code in codes]
    guards = [index for index, code in enumerate(bare) if code_guards(code)]
    meters = [index for index, code in enumerate(bare) if code_meters(code)]
    if not guards:
        yield of(traps.GUARD_MISSING, policy.where, "no entry of lua looks for the verdict")
    if not meters:
        yield of(traps.METER_MISSING, policy.where, "no entry of lua writes the metadata `sluicegate.usage`")
    foreign = [index for index, code in enumerate(bare) if NAMESPACE not in code]
    if guards and any(index < guards[0] for index in foreign):
        yield of(traps.GUARD_LATE, policy.where, "another entry of lua runs before the guard")
    if guards and any(index > guards[0] and code_changes(bare[index]) for index in foreign):
        yield of(traps.CHANGED_AFTER_JUDGEMENT, policy.where, "an entry of lua is none of ours")
    for found, file in ((guards, "guard.lua"), (meters, "usage.lua")):
        if found and not is_of_this_version(codes[found[0]], file):
            yield of(traps.SCRIPT_OF_ANOTHER_VERSION, policy.where, f"an entry of lua is not this version's {file}")
