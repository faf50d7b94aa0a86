#!/usr/bin/env python3
"""Count the results of a test run for tests/run.sh: prints "PASSED FAILED SKIPPED".

    tally.py meson BUILD/meson-logs/testlog.json    a cmocka program counts each of its tests
    tally.py pytest REPORT.xml                      the file that pytest --junitxml writes
    tally.py text FILE STATUS                       the last "N passed, N failed[, N skipped]" of a
                                                    program's output; without one the status counts

What failed or was skipped is named on stderr.
"""
import json
import re
import sys
import xml.etree.ElementTree as xml

COUNTS = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")


def note(text):
    print("  " + text[:200], file=sys.stderr)


def of_program(name, output, failed, skipped):
    """Counts of one test program."""
    ran = re.search(r"\[==========\] Running (\d+) test", output)
    if ran:
        bad = re.findall(r"\[  FAILED  \] (\w+)\s*$", output, re.M)
        bad = sorted(set(bad)) or ([name] if failed else [])
        for test in bad:
            note(f"FAILED {name}: {test}")
        n_skipped = len(re.findall(r"\[  SKIPPED \] [a-z]\w*\s*$", output, re.M)) // 2
        return max(int(ran.group(1)) - len(bad) - n_skipped, 0), len(bad), n_skipped
    counts = COUNTS.findall(output)
    if counts and not skipped:
        good, bad, left = (int(c or 0) for c in counts[-1])
        if failed and not bad:
            bad = 1
        reasons = re.findall(r"^\s*(skip.*)", output, re.M)
        for line in sorted(set(reasons)):
            note(f"{name}: {line}")
        left = left or (1 if reasons and not good + bad else 0)
        if bad:
            note(f"FAILED {name}: {bad}")
        return good, bad, left
    if failed:
        note(f"FAILED {name}")
        for line in output.strip().splitlines()[-15:]:
            note("  | " + line)
    if skipped:
        note(f"skipped {name}: " + (output.strip().splitlines() or ["it says no reason"])[-1])
    return (0, 1, 0) if failed else (0, 0, 1) if skipped else (1, 0, 0)


def of_meson(path):
    total = [0, 0, 0]
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            t = json.loads(line)
            output = t.get("stdout", "") + t.get("stderr", "")
            got = of_program(t["name"].split(":")[-1].strip(), output,
                             t["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"), t["result"] == "SKIP")
            total = [a + b for a, b in zip(total, got)]
    return total


def of_pytest(path):
    good = bad = left = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        kinds = {child.tag: child for child in case}
        name = f"{case.get('classname')}.{case.get('name')}"
        if "failure" in kinds or "error" in kinds:
            bad += 1
            note(f"FAILED {name}")
        elif "skipped" in kinds:
            left += 1
            note(f"skipped {name}: {kinds['skipped'].get('message')}")
        else:
            good += 1
    return [good, bad, left]


def main():
    kind, path = sys.argv[1:3]
    try:
        if kind == "meson":
            total = of_meson(path)
        elif kind == "pytest":
            total = of_pytest(path)
        else:
            with open(path, encoding="utf-8", errors="replace") as f:
                total = of_program(path.rsplit("/", 1)[-1], f.read(), sys.argv[3] not in ("0", "77"),
                                   sys.argv[3] == "77")
    except (OSError, ValueError, xml.ParseError) as why:
        note(f"FAILED: no report of the tests: {why}")
        total = [0, 1, 0]
    print(*total)


if __name__ == "__main__":
    main()
