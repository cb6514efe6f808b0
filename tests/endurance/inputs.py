"""What a sequence reads, without a file: its number and the step say it."""

SYMBOLS = 11


def symbol(sequence: int, step: int) -> int:
    """The id that sequence number `sequence` reads at `step`."""
    return (7 * sequence + step * step + step // 5) % SYMBOLS
