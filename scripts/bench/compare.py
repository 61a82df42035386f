"""Runs cae-native and the PyTorch peer in turn (A B A B ...) and prints the ratios of their medians as JSON.

    python scripts/bench/compare.py --model base --batch 8 --precision fp32 --tokenizer dall-e --rounds 2
    python scripts/bench/compare.py --task finetune --model base --batch 8 --precision bf16

Both commands print one JSON line last with `images_per_s`, `step_s` and `peak_mib`. Taking turns spreads
whatever else the machine does over both. `speedup` = PyTorch's median step / the native one's (above 1: native
is faster); `peak_ratio` = native peak memory / PyTorch's. Progress goes to stderr.
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


def measure(command: list[str], threads: int) -> dict:
    """Runs a command and returns the JSON object of its last line; a failure ends the comparison."""
    shown = shlex.join(command)
    print(f"$ {shown}", file=sys.stderr, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, cwd=HERE.parents[1], env=environment, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise SystemExit(f"cannot run '{shown}': {error.strerror}") from None
    if done.returncode != 0:
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
    p.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
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
    shared = ["--model", args.model, "--batch", str(args.batch), "--precision", args.precision]
    shared += ["--steps", str(args.steps)]
    # A classifier has no tokenizer, and a script of its own.
    shared += ["--tokenizer", args.tokenizer] if args.task == "pretrain" else ["--task", args.task]
    script = "torch_step.py" if args.task == "pretrain" else "torch_finetune.py"
    native = [*shlex.split(args.native), *shared, "--device", "cpu"]
    peer = [args.python, str(HERE / script), *shared, "--threads", str(args.threads)]
    peer += shlex.split(args.torch_flags)
    natives, peers = [], []
    for _ in range(args.rounds):
        natives.append(measure(native, args.threads))
        peers.append(measure(peer, args.threads))
    a, b = summary(natives), summary(peers)
    result = {
        "speedup": round(b["step_s"] / a["step_s"], 3),
        "peak_ratio": round(a["peak_mib"] / b["peak_mib"], 3),
        "task": args.task,
        "precision": args.precision,
        "tokenizer": args.tokenizer,
        "rounds": args.rounds,
        "native": a,
        "torch": b,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
