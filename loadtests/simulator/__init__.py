"""An upstream that answers like OpenAI, Azure OpenAI, Anthropic and an agent backend, and fails on request.

    python -m loadtests.simulator --port 9100

**Tokens.** A token is a word: a longest run of characters that are not white space, with the white space before it. The
counts in `usage` are exact in these tokens, for the prompt (`prompt.py`) and for the answer, and a stream carries exactly
one answer token in each content chunk.

**Determinism.** Ids, times and texts are derived from the model and the prompt alone. Two requests that differ only in
how they want to be answered (`stream`, `stream_options`, ceilings, `user`) get the same answer, byte for byte.

**Faults.** Each request says in its `x-sim-*` header fields what shall happen to it: see `wishes.py`.

**Witness.** `GET /sim/requests` tells what has arrived, `DELETE /sim/requests` forgets it: see `witness.py`.
"""
