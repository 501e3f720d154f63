"""Decisions read from bytes, so that a fuzzer's bytes are a structured input."""

from random import Random


class Choices:
    """Each method consumes a byte or two; after the last come random ones, given by those read."""

    def __init__(self, data):
        self.data, self.at = data + Random(data).randbytes(300), 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def below(self, n):
        """An integer from 0 to n - 1, n at most 65,536."""
        return (self.byte() if n <= 256 else self.byte() << 8 | self.byte()) % n

    def pick(self, options):
        return options[self.below(len(options))]

    def rarely(self):
        return self.byte() >= 240
