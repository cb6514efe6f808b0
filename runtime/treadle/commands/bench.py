"""`treadle bench`: how long a bundle takes on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.bench.comparing import named
from treadle.commands.options import engine_options, json_option, print_json, table, write

if TYPE_CHECKING:
    from collections.abc import Sequence


_PATH = click.Path(path_type=Path)
_PERCENTILES = ("p50", "p90", "p99", "p999", "worst", "jitter")
_LOADGEN = (
    *("50.00 percentile latency (ns)", "90.00 percentile latency (ns)"),
    *("99.00 percentile latency (ns)", "Samples per second", "Scheduled samples per second"),
)
_WIDTH = 24  # of a bar for all of it
HEADER = ("scenario", "p50 µs", "±", "p90", "p99", "p99.9", "worst", "jitter", "calls", "warm-up")


@click.command()
@click.argument("bundles", type=_PATH, nargs=-1)
@click.option("--compare", nargs=2, type=_PATH, help="Two reports of --json, not bundles.")
@click.option("--html", "page_path", type=_PATH, help="Write a page with plots, FILE.html.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    help="step, chunk, sequence, generate, pool, load, real-time, operators or cold-start, or "
    "SingleStream, Server or Offline of MLPerf's LoadGen; may be given several times. By default "
    "all that fit, without LoadGen.",
)
@click.option("--rows", type=int, default=1, show_default=True, help="Sequences in a step.")
@click.option("--chunk", type=int, default=16, show_default=True, help="Steps of a chunk.")
@click.option("--steps", type=int, default=100, show_default=True, help="Steps of a sequence.")
@click.option("--streams", type=int, default=32, show_default=True, help="Streams of a pool.")
@click.option("--rate", default=20.0, show_default=True, help="Frames a second of each of them.")
@click.option("--frame-ms", default=10.0, show_default=True, help="Period of real-time frames.")
@click.option("--seconds", default=5.0, show_default=True, help="The most a scenario takes.")
@click.option(
    "--tight",
    default=1.0,
    show_default=True,
    help="Percent of the median within which it has to be known, for a scenario to end before.",
)
@click.option("--pin", type=int, multiple=True, help="Processor to run on; may be repeated.")
@engine_options
@json_option
def bench(
    bundles: Sequence[Path],
    compare: tuple[Path, Path] | None,
    page_path: Path | None,
    scenarios: Sequence[str],
    seconds: float,
    tight: float,
    pin: Sequence[int],
    device: str,
    threads: int | None,
    as_json: bool,
    **sizes: Any,
) -> None:
    """Measure how long BUNDLES take on this machine, with their own recorded input.

    Every call is timed by itself. The warm-up is found and left out; a scenario ends when its
    median is known well enough. A percentile is said only where 10 calls lie beyond it.
    """
    if bool(bundles) == (compare is not None):
        raise click.UsageError("give bundles to measure, or --compare with two reports")
    if compare is not None:
        _compared(compare, as_json)
        return
    from treadle.bench.report import measured
    from treadle.bench.sampling import Patience
    from treadle.bench.scenarios import Sizes

    reports = [
        measured(
            bundle,
            scenarios=scenarios,
            sizes=Sizes(**sizes),
            patience=Patience(tight=tight / 100, seconds=seconds),
            device=device,
            threads=threads,
            pin=pin,
            progress=lambda name: click.echo(f"measure {name}", err=True),
        )
        for bundle in bundles
    ]
    if page_path is not None:
        from treadle.bench.page import page
        from treadle.files import write_atomically

        write_atomically(page_path, page(reports).encode())
    if as_json:
        print_json(reports[0] if len(reports) == 1 else reports)
    else:
        write("\n".join(map(described, reports)))


def _compared(paths: tuple[Path, Path], as_json: bool) -> None:
    from treadle.bench.comparing import compare

    first, second = (_read(path) for path in paths)
    ratios = compare(first, second)
    if as_json:
        print_json([ratio.to_json() for ratio in ratios])
        return
    rows = [
        [one.scenario, f"{one.ratio:.3f}", f"{one.low:.3f} … {one.high:.3f}", one.verdict]
        for one in ratios
    ]
    write(table((f"{paths[1].name} over {paths[0].name}", "ratio", "95 %", ""), rows) + "\n")


def _read(path: Path) -> Any:
    from treadle.errors import InputError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected a report of `treadle bench --json` in {path}: {error}"
        ) from error


def described(document: dict[str, Any]) -> str:
    """A report in words and tables."""
    bundle, machine, now = (document[name] for name in ("bundle", "machine", "conditions"))
    engine = document["engine"]
    lines = [
        f"{bundle['name']}, {bundle['precision']}, {bundle['bytes']:,} bytes",
        f"{machine['processor']}, {machine['cores']} processors, {' '.join(now['flags'])}",
        f"onnxruntime {engine['version']}, {engine['provider']}, threads: {engine['threads']}",
        *(f"warning: {warning}" for warning in now["warnings"]),
    ]
    if document["scenarios"]:
        rows = [_row(one) for one in document["scenarios"]]
        lines += ["", table(HEADER, rows), ""]
        lines += [line for one in document["scenarios"] for line in _notes(one)]
    lines += [_driven(one) for one in document["loadgen"]]
    return "\n".join([*lines, *_step(document), *_fresh(document)]) + "\n"


def _row(one: dict[str, Any]) -> list[str]:
    low, high = one["interval_us"]
    return [
        named(one),
        _us(one["p50_us"]),
        f"{100 * (high - low) / 2 / one['p50_us']:.1f} %",
        *(_us(one[f"{name}_us"]) for name in _PERCENTILES[1:]),
        f"{one['calls']:,}",
        f"{one['warmup']:,}",
    ]


def _notes(one: dict[str, Any]) -> list[str]:
    """What a scenario says beside its times."""
    said = []
    if "steps_per_second" in one:
        said.append(f"{one['steps_per_second']:,.0f} steps a second")
    if "misses" in one:
        said.append(f"{one['misses']} of {one['calls']} frames late")
    if "real_time_factor" in one:
        said.append(f"real-time factor {one['real_time_factor']:.4f}")
    if "mean_batch" in one:
        said.append(f"{one['mean_batch']:.1f} streams a call, busy {one['busy']:.1%} of the time")
    if not one["steady"]:
        said.append("WARNING: it had not come to rest; give it more --seconds")
    return [f"{named(one)}: {', '.join(said)}"] if said else []


def _driven(one: dict[str, Any]) -> str:
    """What LoadGen found."""
    told = one["summary"]
    shown = [f"{name} {told[name]:,.0f}" for name in _LOADGEN if name in told]
    verdict = "valid" if one["valid"] else "INVALID by its rules"
    return f"LoadGen {one['scenario']}: {verdict}; {', '.join(shown)}"


def _step(document: dict[str, Any]) -> list[str]:
    """Where the microseconds of a step go, with a bar for each share, where that was measured."""
    if "step" not in document:
        return []
    step = document["step"]
    whole = max(step["engine_us"] + step["python_us"], 1e-9)
    rows = [
        [one["operator"], str(one["count"] or ""), f"{one['us']:.2f}", _bar(one["us"] / whole)]
        for one in step["operators"]
    ]
    rows.append(["Python", "", f"{step['python_us']:.2f}", _bar(step["python_us"] / whole)])
    header = (f"a step of {step['step_us']:.1f} µs", "count", "µs", "share")
    return ["", table(header, rows), ""]


def _bar(share: float) -> str:
    """A share as a number, and as long as it is large."""
    return f"{share:6.1%} {'█' * round(share * _WIDTH):<{_WIDTH}}"


def _fresh(document: dict[str, Any]) -> list[str]:
    """Cold start and memory, where they were measured."""
    if "cold_start" not in document:
        return []
    cold, memory = document["cold_start"], document["memory"]
    stages = ("process", "import", "load", "first_step")
    parts = ", ".join(f"{stage.replace('_', ' ')} {cold[f'{stage}_ms']:.1f}" for stage in stages)
    lines = [f"cold start: {cold['total_ms']:.1f} ms ({parts}), median of {cold['starts']}"]
    if memory["load_bytes"] is not None:
        lines.append(
            f"memory: {_mb(memory['import_bytes'])} imported, {_mb(memory['load_bytes'])} loaded, "
            f"{_mb(memory['peak_bytes'])} at most"
        )
        if memory["stream_bytes"] is not None:
            lines[-1] += f"; a stream adds {memory['stream_bytes'] / 1000:.1f} kB"
    lines.append(f"idle: {memory['idle_processors']:.1%} of a processor")
    return lines


def _us(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _mb(value: float) -> str:
    return f"{value / 1e6:.1f} MB"
