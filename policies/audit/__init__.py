"""The journal: a tamper-evident record of every decision and every ending, and the sinks that follow it."""
