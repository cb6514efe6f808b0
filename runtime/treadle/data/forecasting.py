"""ETTh1: the oil temperature of an electricity transformer and its loads, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset, digest_of
from treadle.data.readers.series import read_series
from treadle.data.registry import Source, locate

if TYPE_CHECKING:
    from treadle.data.examples import Series

ETTH1 = Source(
    folder="etth1",
    file="ETTh1.csv",
    sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    licence="CC BY-ND 4.0",
    home="https://github.com/zhouhaoyi/ETDataset",
    url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
    size=2_589_657,
)
MONTH = 30 * 24  # hours, as the published split counts them
MONTHS = {"train": 12, "validation": 4, "test": 4}


def open_etth1() -> Dataset[Series]:
    """7 channels, the last ("OT") the oil temperature; a split is one series.

    Split as published, 12/4/4 months of 30 days: hours 0 to 8,640, 11,520 and 14,400. What lies
    behind them, of 17,420 hours, is not used. Splits do not overlap; a forecast of a split's first
    hours may read back into the split before it, as the published ones do. Zhou and others,
    "Informer", AAAI 2021. Raises DataError.
    """
    whole = read_series(locate(ETTH1), time="date")
    splits, start = {}, 0
    for split, months in MONTHS.items():
        splits[split] = whole[start : start + months * MONTH]
        start += months * MONTH
    return Dataset(
        name="etth1",
        options={},
        licence=ETTH1.licence,
        source=ETTH1.home,
        digest=digest_of({split: [series] for split, series in splits.items()}),
        splits=splits,
    )
