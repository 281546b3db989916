"""Sinks that speak the protocols of log collectors and SIEMs: syslog, and OpenTelemetry."""
