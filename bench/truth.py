"""Whether runs recover the true rates of personas: coverage of the 95 % intervals by measure and by row, order of pairs.

    python bench/truth.py [--seeds N] [--repeats N] [--tables latest|all|own]

The rows of K2VV's published tables as personas (needs the data beside the checkout; `own` does not). With --repeats 112
each run sends 4,000 requests to each host, as many as the published rows rest on; the test sends 288.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "truth"), str(ROOT / "tests")]

from played import packaged, requests  # noqa: E402 - the path comes first
from recovery import PARAMETERS, Host, Recovery, Tally, own, published, recovered  # noqa: E402


def line(name: str, tally: Tally) -> str:
    if not tally.all:
        return f"{name:<44} {'-':>8}"
    certain = f"  {tally.certain_hit}/{tally.certain} of exactly 0 or 1" if tally.certain else ""
    return f"{name:<44} {tally.coverage:8.2%} ± {tally.spread:.2%} of {tally.all}{certain}"


def told(found: Recovery, hosts: list[Host]) -> None:
    print("\ncoverage by row (all parameters)")
    for host in hosts:
        tallies = [found.covered[name, host.place] for name in PARAMETERS if (name, host.place) in found.covered]
        total = Tally()
        for tally in tallies:
            total = total.plus(tally)
        print("  " + line(host.place, total))
    print("\ncoverage by parameter")
    for name in (*PARAMETERS, "first_try"):
        rows = [tally.coverage for (measure, _), tally in found.covered.items() if measure == name and tally.all]
        print(f"  {line(name, found.of(name))}  rows {min(rows):.1%} to {max(rows):.1%}")
    pooled = found.pooled
    print(f"\n{line('pooled', pooled)}; with those {pooled.coverage_of_all:.2%}")
    print("\npairs                     all   told apart  wrong   95 % intervals apart  wrong")
    for name, order in found.order.items():
        row = f"{order.pairs:9} {order.told:12} {order.wrong:6} {order.apart:22} {order.apart_wrong:6}"
        print(f"  {name:<18} {row}")
    print(f"pairs whose 95 % intervals overlap, but told apart: {found.alike_but_told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=112)
    parser.add_argument("--tables", choices=["latest", "all", "own"], default="latest")
    chosen = parser.parse_args()
    hosts = own() if chosen.tables == "own" else published(latest=chosen.tables == "latest")
    cases = [case for case in packaged("core") if case.expect.wants_call and not case.emulate_tools]
    started = time.perf_counter()
    asked = requests(cases, "moonshot/kimi-k2.6")
    found = recovered(hosts, asked, range(1, chosen.seeds + 1), chosen.repeats)
    per_run = len(asked) * chosen.repeats
    print(f"{len(hosts)} hosts, {chosen.seeds} seeds, {per_run} requests a host and seed: {found.probes} probes")
    print(f"{time.perf_counter() - started:.0f} s")
    told(found, hosts)


if __name__ == "__main__":
    main()
