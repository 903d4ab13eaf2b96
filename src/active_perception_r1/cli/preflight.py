"""The subcommand that looks for trouble before a study starts."""

from __future__ import annotations

import argparse
import json

from active_perception_r1.cli.arguments import Commands, add_command, add_configfiles


def add_commands(commands: Commands) -> None:
    preflight = add_command(
        commands, "preflight", _run_preflight, "check GPUs, packages, disk and hub for a study"
    )
    add_configfiles(preflight)
    preflight.add_argument("--study", help="instead of the configuration's")
    preflight.add_argument(
        "--allow-busy-gpu", action="store_true", help="do not mind GPUs that others are using"
    )
    preflight.add_argument("--json", action="store_true", help="for programs to read")


def _run_preflight(command: argparse.Namespace) -> None:
    from active_perception_r1.config import load_config
    from active_perception_r1.errors import UserError
    from active_perception_r1.runtime.preflight import preflight

    config = load_config(*command.config, study=command.study)
    if command.allow_busy_gpu:
        gpu = config.gpu.model_copy(update={"allow_busy_gpu": True})
        config = config.model_copy(update={"gpu": gpu})
    checks = []
    for check in preflight(config, config.study):
        checks.append(check)
        if not command.json:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}")
            if not check.ok:
                print(f"      to mend it: {check.cure}", flush=True)
    if command.json:
        found = [
            {"name": check.name, "ok": check.ok, "found": check.found, "cure": check.cure}
            for check in checks
        ]
        print(json.dumps({"ok": all(check.ok for check in checks), "checks": found}, indent=2))
    if failed := sum(not check.ok for check in checks):
        raise UserError(f"{failed} of {len(checks)} checks failed")
