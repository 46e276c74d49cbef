"""Celery, set up for many small tasks."""

import os

from celery import Celery, signals

from benchmarks.queues.counting import Counter

app = Celery("benchmarks", broker=os.environ["BROKER"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    task_ignore_result=True,
    worker_disable_rate_limits=True,
    worker_prefetch_multiplier=500,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
counter = Counter()


@app.task(name="push")
def push(event_id: int, recipient_id: int) -> None:
    """Send to one recipient: accepted at once."""
    counter.count()


@signals.worker_ready.connect
def tell(**_: object) -> None:
    """The worker takes tasks."""
    counter.working()


if __name__ == "__main__":
    with (
        app.connection_for_write() as connection,
        connection.channel() as channel,
        app.amqp.Producer(channel) as producer,
    ):
        counter.wait_for_word()
        for number in range(int(os.environ["EXPECTED"])):
            push.apply_async((1, number), producer=producer)
