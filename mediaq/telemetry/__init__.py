"""What a process tells of itself while it runs: numbers for Prometheus, spans for OpenTelemetry."""
