"""The checks of a gate as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from landscape.comparison.gate import Check, Gate, Outcome

# all that XML 1.0 has no place for, not even as a reference
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(gate: Gate) -> str:
    """Return one test case for each check; what is undecided is an error, not a skip.

    A skipped test passes a pipeline, and a number that is not known well enough must not.
    """
    failures = sum(check.outcome is Outcome.FAILED for check in gate.checks)
    undecided = sum(check.outcome is Outcome.UNDECIDED for check in gate.checks)
    counts = {
        "tests": str(len(gate.checks)),
        "failures": str(failures),
        "errors": str(undecided),
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "landscape check", **counts})
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": _clean(gate.source or gate.document), **counts, "time": "0"}
    )
    for check in gate.checks:
        _case(suite, gate, check)
    ElementTree.indent(root, " ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(suite: ElementTree.Element, gate: Gate, check: Check) -> None:
    name = f"{check.path} {{{check.rule}}}"
    if check.place != check.path:
        name += f" at {check.place}"
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": _clean(gate.document), "name": _clean(name), "time": "0"},
    )
    if check.outcome is Outcome.PASSED:
        return
    tag = "failure" if check.outcome is Outcome.FAILED else "error"
    told = _clean(f"{check.found}: {check.reason}")
    ended = {"message": told, "type": check.outcome.value}
    ElementTree.SubElement(case, tag, ended).text = _clean(f"{check.path}: {check.rule}\n{told}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
