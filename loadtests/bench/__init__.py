"""What the gateway costs, measured side by side with plain Envoy in one run.

    python -m loadtests.bench --quick

Targets, each behind an Envoy of its own, all before the same upstream:

- `plain`: Envoy with the listener and the route of the gateway, and nothing else: no policy, guard, meter or access log;
- `empty`: the gateway with one policy that does nothing: what the transport and the conversation cost;
- `default`: the gateway with the chain of the demo configuration (entra, access) and a valid token;
- `limits`, `audit`, `strict`, `cost`: the same, and one policy more;
- `langfuse`: that of `audit`, while its journal is followed for Langfuse and for a collector of traces.

Where SLUICEGATE_AIGW names an `aigw` binary, Envoy AI Gateway is measured too, alone (`aigw`) and with all of these in
front of it (`aigw wire all`, and with a strict journal): one connection and 32.

They take turns in short rounds, so that whatever else the machine does hits all alike; everything is started several
times, and each figure is that of the round, of all starts, in which it was best. The run fails if any request failed, if
a request has no completion, or if an answer went unmetered.
See `docs/performance.md`.
"""
