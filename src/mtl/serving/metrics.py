"""What Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("mtl_requests", "Replies by route and status.", ("route", "status"), registry=self.registry)
        self.latency = Histogram("mtl_request_seconds", "Time to a reply by route.", ("route",), buckets=SECONDS, registry=self.registry)
        self.batch_texts = Histogram("mtl_batch_texts", "Texts that were predicted together.", buckets=TEXTS, registry=self.registry)
        self.queue_texts = Gauge("mtl_queue_texts", "Texts that wait for a prediction.", registry=self.registry)
        self.tokens = Counter("mtl_tokens", "Tokens of predicted texts.", registry=self.registry)
        self.reloads = Counter("mtl_reloads", "Attempts to load the model again, by result.", ("result",), registry=self.registry)
        self.model = Info("mtl_model", "The version that predicts.", registry=self.registry)

    def text(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self.registry)
