"""Several processes behind one policy server: `sluicegate serve --workers N`.

A *supervisor* binds every socket and starts a *worker* for each seat (see `extproc.placement`). It carries no request: a
socket that is bound once never closes, so a connection waits for the next worker where one has died or is being
replaced. Worker and supervisor talk by two pipes:

- the worker's standard input: the configuration, one line of JSON, the very one that has been validated. Its end means
  that the supervisor has gone: the worker drains and goes too.
- the status pipe, back: each second a line of JSON (see `status`), which the supervisor keeps and sums (see `board`), and
  what has been counted and measured since the last one, which it adds up (see `merged`).
"""
