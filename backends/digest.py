"""What tells one plan from another."""

from hashlib import blake2b

from graphwright.backends.plan import Plan


def plan_digest(plan: Plan) -> str:
    """A hash of a plan's graph, backend, sizes, steps and places in memory."""
    program = plan.program
    hasher = blake2b(str(program.graph).encode(), digest_size=16)
    hasher.update(f"{program.options.backend.name} {plan.env}".encode())
    for step, place in zip(plan.steps, plan.layout.blocks, strict=True):
        run = step.run if step.into is None else step.into.run
        kernel = getattr(run, "__qualname__", type(run).__name__)
        hasher.update(f"{step.inputs}{step.outputs}{place}{kernel}".encode())
    return hasher.hexdigest()
