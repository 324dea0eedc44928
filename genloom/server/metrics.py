"""Counters of the server, in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The counters of one server; other parts add theirs to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("genloom_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "genloom_request_seconds", "Time until an answer is complete", ("route",), registry=self.registry
        )
        self.open = Gauge("genloom_open_requests", "Requests being answered", registry=self.registry)
        self.refusals = Counter("genloom_refusals", "Requests refused by the guard", ("code",), registry=self.registry)

    def export(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self.registry)
