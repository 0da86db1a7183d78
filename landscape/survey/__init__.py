"""Many questions about one subject, under one plan and budget."""

from landscape.reports.plan import Plan, Planned, plan_of
from landscape.survey.asking import Preset, report, survey
from landscape.survey.inputs import Examined, check_weights, examined

__all__ = [
    "Examined",
    "Plan",
    "Planned",
    "Preset",
    "check_weights",
    "examined",
    "plan_of",
    "report",
    "survey",
]
