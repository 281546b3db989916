"""Where Envoy AI Gateway is asked for a call. Pure.

It knows an endpoint by its exact path, and makes the provider's own path itself: of Azure's deployments, of Bedrock, of
whatever a backend's schema says (AI Gateway 1.1, `cmd/extproc/mainlib`).
"""

from __future__ import annotations

from typing import Final

from extproc.call import Operation

PATHS: Final = {
    Operation.CHAT: "/v1/chat/completions",
    Operation.COMPLETIONS: "/v1/completions",
    Operation.RESPONSES: "/v1/responses",
    Operation.EMBEDDINGS: "/v1/embeddings",
    Operation.MESSAGES: "/anthropic/v1/messages",
    Operation.COUNT_TOKENS: "/anthropic/v1/messages/count_tokens",
}
"""By operation. It takes no query."""
