"""The preflight: what works, what does not, and what the real thing will cost."""

from landscape.doctor.answer import Check, Doctor, State
from landscape.doctor.examination import examine, preflight

__all__ = ["Check", "Doctor", "State", "examine", "preflight"]
