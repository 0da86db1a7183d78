"""Many questions about one subject, under one plan and budget."""

from landscape.survey.asking import Preset, report, survey
from landscape.survey.plan import Plan, Planned, plan_of

__all__ = ["Plan", "Planned", "Preset", "plan_of", "report", "survey"]
