"""What the tests of bad specs and of bad tables share: names in every table, and what an output held before."""

SECRET = "Zebulon"
"""Part of every identifier: no message may have it."""

OLD = b"what was there before"
LABELS = ("enrolment", "members", "claims", "contacts")
