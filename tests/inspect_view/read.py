"""What inspect_ai reads in a folder of logs, as JSON: python read.py FOLDER"""

from __future__ import annotations

import json
import sys

from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries
from inspect_ai.model import ContentImage


def main() -> None:
    logs = [read_eval_log(info) for info in list_eval_logs(sys.argv[1])]
    found = [
        {
            "task": log.eval.task,
            "model": log.eval.model,
            "status": log.status,
            "accuracy": log.results.scores[0].metrics["mean"].value,
            "listed": len(read_eval_log_sample_summaries(log.location)),
            "samples": [
                {
                    "id": sample.id,
                    "correct": sample.scores["correct"].value,
                    "roles": [message.role for message in sample.messages],
                    "images": [
                        part.image.partition(",")[2]
                        for message in sample.messages
                        for part in message.content
                        if isinstance(part, ContentImage)
                    ],
                }
                for sample in log.samples
            ],
        }
        for log in logs
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
