"""Runs cae-native and the PyTorch peer in turn (A B A B ...) and prints the ratios of their medians as JSON.

    python scripts/bench/compare.py --model base --batch 8 --precision fp32 --tokenizer dall-e --rounds 2
    python scripts/bench/compare.py --task finetune --model base --batch 8 --precision bf16
    python scripts/bench/compare.py --device cuda --form best --batch 256 --precision bf16 --steps 20

Both commands print one JSON line last with `images_per_s`, `step_s` and `peak_mib`. Taking turns spreads
whatever else the machine does over both. `speedup` = PyTorch's median step / the native one's (above 1: native
is faster); `peak_ratio` = native peak memory / PyTorch's. A side that runs out of the GPU's memory is no failure: it is
named in `out_of_memory`, and there are no ratios. Progress goes to stderr.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


class OutOfMemory(Exception):
    """What a command said that found too little memory on the GPU."""


def measure(command: list[str], threads: int) -> dict:
    """Runs a command and returns the JSON object of its last line; a failure ends the comparison."""
    shown = shlex.join(command)
    print(f"$ {shown}", file=sys.stderr, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True)
    except OSError as error:
        raise SystemExit(f"cannot run '{shown}': {error.strerror}") from None
    print(done.stderr, file=sys.stderr, end="", flush=True)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "out of memory" in line]
        if said:
            raise OutOfMemory(said[-1])
        raise SystemExit(f"'{shown}' exited with {done.returncode}")
    try:
        line = json.loads(done.stdout.strip().splitlines()[-1])
        steps = [line[key] for key in ("images_per_s", "step_s", "peak_mib")]
    except (IndexError, KeyError, TypeError, ValueError):
        raise SystemExit(f"'{shown}' did not end with a JSON line holding images_per_s, step_s, peak_mib") from None
    if not all(isinstance(v, (int, float)) and v > 0 for v in steps):
        raise SystemExit(f"'{shown}' reported a value that is not above 0: {line}")
    print(json.dumps(line), file=sys.stderr, flush=True)
    return line


def summary(lines: list[dict]) -> dict:
    """Median of every measure over the rounds, and the step times one by one."""
    middle = {key: statistics.median(line[key] for line in lines) for key in ("images_per_s", "step_s", "peak_mib")}
    return {**middle, "step_s_rounds": [line["step_s"] for line in lines], "last": lines[-1]}


def main() -> None:
    p = argparse.ArgumentParser(description="cae-native against the PyTorch peer, in turn")
    p.add_argument("--task", default="pretrain", choices=["pretrain", "finetune", "features"])
    p.add_argument("--model", default="base")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of both sides; --task pretrain on cuda")
    p.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    p.add_argument("--form", choices=["reference", "best"], help="what torch_step.py runs, whatever --precision")
    p.add_argument("--tokenizer", default="dall-e", choices=["dall-e", "none"])
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--rounds", type=int, default=2, help="runs of each side")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides (OMP_NUM_THREADS)")
    p.add_argument("--native", default="node dist/cli/main.js bench", help="command; the flags below are added to it")
    p.add_argument("--python", default=sys.executable, help="Python that has torch")
    p.add_argument("--torch-flags", default="", help="further flags for the PyTorch script, e.g. '--attention sdpa'")
    args = p.parse_args()
    for name in ("batch", "steps", "rounds", "threads"):
        if getattr(args, name) < 1:
            p.error(f"--{name} must be at least 1")
    if args.task != "pretrain" and (args.device == "cuda" or args.form is not None):
        p.error("--device cuda and --form are for --task pretrain")
    shared = ["--model", args.model, "--batch", str(args.batch), "--steps", str(args.steps)]
    # A classifier has no tokenizer, and a script of its own.
    shared += ["--tokenizer", args.tokenizer] if args.task == "pretrain" else ["--task", args.task]
    script = "torch_step.py" if args.task == "pretrain" else "torch_finetune.py"
    precision = ["--precision", args.precision]
    native = [*shlex.split(args.native), *shared, *precision, "--device", args.device]
    peer = [args.python, str(HERE / script), *shared, "--threads", str(args.threads)]
    peer += ["--form", args.form] if args.form is not None else precision
    if args.task == "pretrain":
        peer += ["--device", args.device]
    peer += shlex.split(args.torch_flags)
    lines: dict[str, list[dict]] = {"native": [], "torch": []}
    full: dict[str, str] = {}
    for _ in range(args.rounds):
        for side, command in (("native", native), ("torch", peer)):
            try:
                if side not in full:
                    lines[side].append(measure(command, args.threads))
            except OutOfMemory as error:
                full[side] = str(error)
    names = ("task", "model", "batch", "device", "precision", "form", "tokenizer", "rounds")
    result: dict = {name: getattr(args, name) for name in names}
    result |= {side: summary(measured) for side, measured in lines.items() if side not in full}
    if full:
        result["out_of_memory"] = full
    else:
        a, b = result["native"], result["torch"]
        ratios = {"speedup": b["step_s"] / a["step_s"], "peak_ratio": a["peak_mib"] / b["peak_mib"]}
        result = {name: round(value, 3) for name, value in ratios.items()} | result
    print(json.dumps(result))


if __name__ == "__main__":
    main()
