#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Top-1 accuracy of answers in JSON, to compare other programs with classify (models and precisions: bench_accuracy).

    classify --json FOLDER > results.jsonl
    bench/accuracy.py FOLDER results.jsonl [--against other.jsonl]

FOLDER holds one folder of images per class; sorted by name they are the classes 0, 1, ... of the model. With
--against, the results of a second run (another program or a changed copy of the images; same form): how often both give
the same answer, the difference in top-1 and the standard error of that difference, which is paired: images that both
get right or wrong add nothing to it. Images are matched by class folder and file name without its ending, so that a run
on PNG copies can be compared with one on JPEGs.
"""
import argparse
import json
import math
import os
import pathlib
import sys


def read_answers(path):
    """(class folder, file name without ending) -> best class."""
    answers = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                result = json.loads(line)
                image = pathlib.PurePath(result["image"])
                answers[image.parent.name, image.stem] = result["top"][0]["class"]
            except (ValueError, KeyError, IndexError, TypeError) as error:
                sys.exit(f"{path}:{number}: no result of classify --json ({type(error).__name__}: {error})")
    if not answers:
        sys.exit(f"{path}: no results")
    return answers


def percent(part, whole):
    return f"{100 * part / whole:.2f} %"


def class_numbers(folder):
    return {name: i for i, name in enumerate(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))}


def top1(answers, numbers):
    """Which answers are right, and a sentence. answers: as from read_answers."""
    right = {image: numbers[image[0]] == answer for image, answer in answers.items()}
    n, p = len(right), sum(right.values()) / len(right)
    error = 100 * math.sqrt(p * (1 - p) / n)
    return right, f"top-1 {percent(sum(right.values()), n)} of {n} images, standard error {error:.2f}"


def against(answers, others, numbers):
    """A sentence on the same images' answers by another program."""
    right, other_right = top1(answers, numbers)[0], top1(others, numbers)[0]
    n = len(answers)
    same = sum(answers[image] == others[image] for image in answers)
    differences = [right[image] - other_right[image] for image in answers]
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / max(n - 1, 1)
    return (f"against {percent(sum(other_right.values()), n)}: the same answer on {percent(same, n)} of the images, "
            f"difference {100 * mean:+.2f} with paired standard error {100 * math.sqrt(variance / n):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("results")
    parser.add_argument("--against", metavar="RESULTS")
    arguments = parser.parse_args()

    numbers = class_numbers(arguments.folder)
    answers = read_answers(arguments.results)
    strangers = sorted({folder for folder, _ in answers if folder not in numbers})
    if strangers:
        sys.exit(f"{arguments.results}: {strangers[0]} is no class folder of {arguments.folder}")
    print(top1(answers, numbers)[1])
    if not arguments.against:
        return
    others = read_answers(arguments.against)
    if others.keys() != answers.keys():
        missing = sorted(others.keys() ^ answers.keys())
        sys.exit(f"{len(missing)} images are in one of the two files only, such as {'/'.join(missing[0])}")
    print(against(answers, others, numbers))


if __name__ == "__main__":
    main()
