"""A gateway that is broken in every way while it serves: `python -m loadtests.audit_chaos`. Runs in a checkout.

`traffic` asks for everything that there is to ask, `faults` break one thing after the other, and `books` look afterwards
whether all that happened is on record, once, everywhere.
"""
