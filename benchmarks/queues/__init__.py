"""The same push to many recipients, by calevents and by task queues with one task for each.

In all of them the recipients are rows of `bench_members` and the notifier accepts at once. Every
worker counts what it was called for, and writes a line of JSON when that is everything:
`python -m benchmarks.queues.<module>` with its parameters in the environment.
"""
