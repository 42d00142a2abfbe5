"""Optuna's NSGA-II on a table; run by the interpreter of a peer's environment, which has no part of this project.

Reads on stdin ``{"cardinalities", "table": {"0,1,2": [objectives]}, "population", "seed", "evaluations"}`` and writes
``{"walk": [genome], "seconds"}``: the distinct networks in the order in which they were first tried. What is tried
again costs nothing; networks that the table lacks fail.
"""

import json
import sys
import time

import optuna

_TRIES = 30


def main() -> None:
    request = json.load(sys.stdin)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objectives = len(next(iter(request["table"].values())))
    sampler = optuna.samplers.NSGAIISampler(population_size=request["population"], seed=request["seed"])
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    walk, started = {}, time.perf_counter()
    for _ in range(_TRIES * request["evaluations"]):
        trial = study.ask()
        genome = [trial.suggest_int(f"gene{i}", 0, top - 1) for i, top in enumerate(request["cardinalities"])]
        values = request["table"].get(",".join(map(str, genome)))
        if values is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, values)
        walk.setdefault(tuple(genome))
        if len(walk) == request["evaluations"]:
            break
    json.dump({"walk": list(walk), "seconds": time.perf_counter() - started}, sys.stdout)


if __name__ == "__main__":
    main()
