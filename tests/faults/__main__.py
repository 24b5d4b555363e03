"""The long form: `python -m tests.faults` makes every fault many times and prints a table of what was lost."""

import argparse
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.fault import Fault, Skipped
from tests.faults.ground import Ground
from tests.faults.suite import FAULTS, Results, attempt, chosen, table

BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->"


def try_one(fault: Fault, ground: Ground, number: int, results: Results) -> None:
    """Make try `number` of a fault and print a line about it."""
    try:
        attempt(fault, ground, number, results)
    except Skipped as reason:
        said = f"not tried: {reason}"
    else:
        said = "; ".join(results.known[fault.kind, fault.name, number]["lost"]) or "nothing lost"
    print(f"{fault.kind}: {fault.name}, {number}: {said}", flush=True)


def try_all(faults: list[Fault], ground: Ground, most: int, results: Results, jobs: int) -> None:
    """Round by round, each fault once, so that what is stopped early has tried all of them."""
    pool = ThreadPoolExecutor(jobs)
    try:
        order = [(fault, number) for number in range(most) for fault in faults if number < fault.times]
        for future in [pool.submit(try_one, fault, ground, number, results) for fault, number in order]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # those that have begun end


def main() -> None:
    """Try what was asked for; exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="faults that have one of these in their name"
    )
    parser.add_argument("--times", type=int, metavar="N", help="at most so many tries of each fault; 0: none")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="tries at once (default: %(default)s)")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="note every try here; what the file says lost nothing is not tried"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this Markdown file as well")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's `&` ignores, all that begins here would
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # disks are unmounted and processes ended then, too
    results = Results(arguments.results)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder))
        try:
            most = max(fault.times for fault in FAULTS) if arguments.times is None else arguments.times
            try_all(list(chosen(arguments.only)), ground, most, results, arguments.jobs)
        except KeyboardInterrupt:
            print("stopped; what was tried until then:")
        finally:
            ground.close()
    rows = [row for fault in chosen(arguments.only) if (row := results.row(fault)).times]
    print(f"\n{table(rows)}")
    if arguments.write is not None:
        text = arguments.write.read_text()
        before, rest = text.split(BEGIN)
        earlier, after = rest.split(END)
        arguments.write.write_text(f"{before}{BEGIN}{table(rows, earlier)}{END}{after}")
    for row in rows:
        for line in row.broken:
            print(f"{row.fault.kind}: {row.fault.name}: {line}")
    raise SystemExit(any(row.lost for row in rows))


if __name__ == "__main__":
    main()
