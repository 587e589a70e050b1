"""Trials of the fast battery: run, kept one per line, counted."""

import json
import multiprocessing
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from scipy import stats

from simreal.audit.battery import run_audit
from simreal.core.audit import AuditResult
from simreal.pipeline.cache import code_version

#: Rows made by other code are not counted.
CODE = ("audit", "match/nuisances", "measure", "stats", "testing")


def audited(given, **about):
    """Run the fast battery and return the row of a trial."""
    start = time.perf_counter()
    result = run_audit(given, cost="fast")
    return {**about, **summary(result), "seconds": round(time.perf_counter() - start, 2)}


def summary(result: AuditResult):
    """What a table may ask of one audit: verdicts, exceedances, red readings, seconds."""
    return {
        "verdict": result.verdict,
        "first": result.first,
        "first_of_all": first_of_all(result),
        "checks": {
            check.name: {
                "verdict": check.verdict,
                "exceedance": round(check.exceedance, 3),
                "seconds": check.seconds,
                "red": {
                    r.name: [round(r.value - r.neutral, 5), round(r.exceedance, 3)]
                    for r in check.vetoing
                    if r.verdict == "red"
                },
            }
            for check in result.checks
        },
    }


def first_of_all(result):
    """The red check with the largest exceedance, those included that name no cause."""
    red = [check for check in result.checks if check.verdict == "red"]
    return max(red, key=lambda check: check.exceedance).name if red else None


def check_of_first(row):
    """Exceedance of the check that was named, 0 where none was."""
    return 0.0 if row["first"] is None else row["checks"][row["first"]]["exceedance"]


class Kept:
    """Rows of trials in a file, one JSON object per line; a trial that is there is not repeated."""

    def __init__(self, path, key):
        self.path, self.key, self.code = Path(path), key, code_version(*CODE)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        rows = [row for row in map(json.loads, lines) if row["code"] == self.code]
        self.rows = {self._key(row): row for row in rows}

    def _key(self, row):
        return tuple(row[name] for name in self.key)

    def has(self, *key):
        return key in self.rows

    def get(self, *key):
        return self.rows[key]

    def add(self, row):
        row = {**row, "code": self.code}
        self.rows[self._key(row)] = row
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")


def spread(task, work: Iterable, *, jobs, prepare):
    """Yield the results of `task` over `work`, in any order, from `jobs` processes."""
    work = list(work)
    start = time.perf_counter()
    if jobs == 1:
        prepare()
        found = map(task, work)
        yield from _noted(found, len(work), start)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=prepare) as pool:
        yield from _noted(pool.imap_unordered(task, work), len(work), start)


def _noted(found, total, start):
    for k, one in enumerate(found, 1):
        passed = time.perf_counter() - start
        line = f"{k} of {total} in {passed:.0f} s, {passed / k * (total - k):.0f} s to go"
        print(line, file=sys.stderr, flush=True)
        yield one


def share(count, total):
    """`count` of `total` with its exact 95 % interval (Clopper and Pearson 1934)."""
    if not total:
        return "–"
    low = stats.beta.ppf(0.025, count, total - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
    return f"{count} of {total}, {100 * count / total:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def between(path, marker, text):
    """Put `text` between the markers of a page, or print it where the page has none."""
    start, end = f"<!-- {marker}:start -->", f"<!-- {marker}:end -->"
    page = Path(path).read_text(encoding="utf-8") if path and Path(path).is_file() else ""
    if start not in page or end not in page:
        print(f"{start}\n{text}\n{end}")
        return
    head, tail = page.split(start)[0], page.split(end)[1]
    Path(path).write_text(f"{head}{start}\n\n{text}\n\n{end}{tail}", encoding="utf-8")
