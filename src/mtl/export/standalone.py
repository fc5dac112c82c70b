"""Predict texts with the model beside this file, and print one JSON object a line."""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Returns the exit status: 0, or 2 for an error that the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", help="predict this task only; repeat for more tasks")
    parser.add_argument("--format", choices=("auto", "text", "jsonl"), default="auto", help="auto: decided by the first line")
    parser.add_argument("--min-confidence", type=float, default=0.0, metavar="P", help="answer null below this confidence, in 0..1")
    parser.add_argument("file", nargs="?", default="-", help="text lines or JSON lines; - for standard input")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE / "lib"))
    from mtl.errors import MtlError
    from mtl.export.runtime import OnnxPredictor
    from mtl.predict import decoded, predict_lines

    try:
        predictor = OnnxPredictor(HERE / "model")
        with sys.stdin.buffer if options.file == "-" else Path(options.file).open("rb") as lines:
            texts, least = decoded(lines, options.file), options.min_confidence
            for prediction in predict_lines(predictor, texts, tasks=options.task, form=options.format, min_confidence=least):
                sys.stdout.write(json.dumps(prediction, ensure_ascii=False) + "\n")
    except (MtlError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
