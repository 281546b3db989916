"""Completes the journal: the half of an exchange that a process was killed before it could write."""
