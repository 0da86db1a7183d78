"""What the real thing will take: memory, and products times seconds."""

from __future__ import annotations

import math
from dataclasses import replace

from landscape.diagnostics.spectrum import Spectrum
from landscape.doctor.answer import MemoryPlan, SectionPlan, TimePlan
from landscape.doctor.parts import Parts
from landscape.doctor.products import told_seconds
from landscape.doctor.verdict import Verdict, counted
from landscape.linalg.memory import basis_budget
from landscape.linalg.trace import FIRST_PROBES
from landscape.operators.hessian import HessianOperator
from landscape.operators.memory import VECTORS, free_bytes
from landscape.operators.microbatches import LIVE
from landscape.reports.plan import Preset, plan_of
from landscape.subject.subject import Subject
from landscape.work import Pace

PRESETS = ("quick", "standard", "full")
EARLY, LATE = 1 / 2, 3  # times the products for eigenpairs, at least and at most
TIMING = 1.5  # factor by which the time of a product may be off, either way
LEAST_VECTORS = 64  # below which a basis restarts too often


def plan_memory(parts: Parts) -> MemoryPlan:
    """Return what fits where products are computed."""
    operator = HessianOperator(parts.subject)
    theta, engine = operator.point.theta, operator.engine
    groups, vector = engine.micro_batches, theta.nbytes

    def product(samples: int) -> int:
        each = groups.bytes_per_sample * (LIVE + engine.block)
        return int(samples * each + VECTORS * engine.block * vector)

    samples = max(batch.samples for batch in groups)
    return MemoryPlan(
        free=free_bytes(theta.device),
        vector=vector,
        basis=basis_budget(theta.device),
        basis_vectors=basis_budget(theta.device) // vector,
        block=engine.block,
        micro_batch=samples,
        micro_batches=len(groups),
        product=product(samples),
        halved=product(math.ceil(samples / 2)),
    )


def judge_memory(plan: MemoryPlan) -> Verdict:
    """Say whether products and a basis fit."""
    text = (
        f"{told_bytes(plan.free)} free; θ takes {told_bytes(plan.vector)}, a basis of up to "
        f"{counted(plan.basis_vectors, 'such vector')} fits; "
        f"{counted(plan.micro_batches, 'micro-batch')} of "
        f"{counted(plan.micro_batch, 'sample')}, blocks of {plan.block}: "
        f"about {told_bytes(plan.product)} "
        f"(halved when memory runs out: {told_bytes(plan.halved)})"
    )
    if plan.product > plan.free:
        return Verdict(
            text,
            "one block of products may not fit",
            "micro-batches are halved by themselves; --batch-size sets them, --params studies less",
        )
    if plan.basis_vectors < LEAST_VECTORS:
        return Verdict(
            text,
            f"a basis of fewer than {LEAST_VECTORS} vectors restarts often, and costs products",
            "ask for fewer eigenvalues (--top, --bottom), or study fewer parameters (--params)",
        )
    return Verdict(text)


def plan_time(parts: Parts, pace: Pace) -> tuple[TimePlan, ...]:
    """Return what `spectrum` will cost at each preset, as the report's plan counts it.

    Eigenpairs may take half to three times as many products, the traces the fewest or the most
    probes, and a time may be off by half.
    """
    return tuple(_planned(parts.subject, preset, pace) for preset in PRESETS)


def judge_time(plans: tuple[TimePlan, ...]) -> Verdict:
    """Say what each preset takes."""
    told = [
        f"{one.preset} about {told_seconds(one.seconds)} ({told_seconds(one.at_least)} to "
        f"{told_seconds(one.at_most)})"
        for one in plans
    ]
    return Verdict(f"spectrum: {', '.join(told)}; estimates from the number of products")


def plan_report(
    parts: Parts, pace: Pace, preset: Preset, seed: int
) -> tuple[tuple[SectionPlan, ...], Verdict]:
    """Return what every section of a report will take, and the whole in words."""
    plan = plan_of(parts.subject, preset=preset, seed=seed)
    foretold = plan.foretold(pace)
    work = {one.name: one.work for one in plan.asked if one.work is not None}
    sections = tuple(
        SectionPlan(
            section=name,
            expected=expected,
            seconds=foretold.seconds.get(name),
            bytes=(work[name].bytes or None) if name in work else None,
        )
        for name, _, expected in plan.told()
    )
    text = f"{preset}: {foretold.sentence()}"
    refused = [one for one in plan.asked if one.refused is not None]
    if refused and (error := refused[0].refused) is not None:
        return sections, Verdict(text, f"{refused[0].name} fails: {error.what}", error.hint)
    return sections, Verdict(text)


def told_bytes(number: int) -> str:
    """Return a size in the unit that suits it."""
    unit = min(3, max(0, number.bit_length() - 1) // 10)
    return f"{number / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB')[unit]}"


def _planned(subject: Subject, preset: str, pace: Pace) -> TimePlan:
    question = Spectrum.preset(preset).fitted(subject)
    work = question.work(subject)
    pairs, density, trace = question.products(subject.parameters.size)
    least, most = (
        times * pairs + density + probes
        for times, probes in ((EARLY, FIRST_PROBES), (LATE, question.most_probes))
    )
    count = len(subject.checkpoints)
    low, high = (pace.seconds(replace(work, products=count * each)) for each in (least, most))
    return TimePlan(
        preset=preset,
        pairs=count * pairs,
        density=count * density,
        trace=count * trace,
        seconds=pace.seconds(work),
        at_least=low / TIMING,
        at_most=high * TIMING,
    )
