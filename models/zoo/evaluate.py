# SPDX-License-Identifier: Apache-2.0
"""Top-1 accuracy of a checkpoint in PyTorch, f32, on labelled images: what the runtime's own accuracy is compared with.

    pip install torch numpy pillow safetensors transformers
    python evaluate.py [--jsonl FILE] IMAGE_FOLDER MODEL_FOLDER...

IMAGE_FOLDER holds one folder of images per class; sorted by name they are classes 0, 1, ... Weights stored as I8 with a
"_scale" are multiplied out first. With several models the report also compares each with the first, image by image.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import torchvision_ops  # noqa: F401,E402  (must come before transformers)
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

BATCH = 50


def load_model(folder):
    tensors = load_file(folder / "model.safetensors")
    state = {}
    for name, t in tensors.items():
        if name.endswith("_scale"):
            continue
        scale = tensors.get(name + "_scale")
        state[name] = t.float() if scale is None else t.float() * scale[:, None]
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    return model_class.from_pretrained(None, config=config, state_dict=state, dtype=torch.float32).eval()


def load_processor(folder):
    name = json.loads((folder / "preprocessor_config.json").read_text())["image_processor_type"]
    return getattr(transformers, name + "Pil").from_pretrained(folder)


def labelled_files(images):
    classes = sorted(d.name for d in images.iterdir() if d.is_dir())
    return [(path, index) for index, name in enumerate(classes) for path in sorted((images / name).iterdir())]


def batches(files, processor):
    for start in range(0, len(files), BATCH):
        images = [Image.open(path).convert("RGB") for path, _ in files[start : start + BATCH]]
        yield processor(images, return_tensors="pt")["pixel_values"].float()


def write_answers(path, files, answers):
    with open(path, "w", encoding="utf-8") as out:
        for (image, _), answer in zip(files, answers.tolist()):
            out.write(json.dumps({"image": str(image), "top": [{"class": answer}]}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jsonl", metavar="FILE", help="write the first model's answers for bench/accuracy.py --against")
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    models = [load_model(f) for f in arguments.models]
    files = labelled_files(arguments.images)
    answers = [[] for _ in models]
    with torch.inference_mode():
        for pixels in batches(files, load_processor(arguments.models[0])):
            for model, mine in zip(models, answers):
                mine.append(model(pixels).logits.argmax(-1))
    answers = [torch.cat(a) for a in answers]
    labels = torch.tensor([index for _, index in files])
    if arguments.jsonl:
        write_answers(arguments.jsonl, files, answers[0])
    for folder, mine in zip(arguments.models, answers):
        print(
            f"{folder}: top-1 {100 * (mine == labels).float().mean():.2f} % of {len(labels)}, "
            f"same answer as the first model on {100 * (mine == answers[0]).float().mean():.2f} %"
        )


if __name__ == "__main__":
    main()
