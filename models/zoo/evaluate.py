# SPDX-License-Identifier: Apache-2.0
"""Top-1 accuracy of a checkpoint in PyTorch, f32, on labelled images: what the runtime's own accuracy is compared with.

    pip install torch numpy pillow safetensors transformers
    python evaluate.py IMAGE_FOLDER MODEL_FOLDER...

IMAGE_FOLDER holds one folder of images per class; sorted by name they are classes 0, 1, ... Weights stored as I8 with a
"_scale" are multiplied out first. With several models the report also compares each with the first, image by image.
"""

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


def batches(images, processor):
    classes = sorted(d.name for d in images.iterdir() if d.is_dir())
    files = [(path, index) for index, name in enumerate(classes) for path in sorted((images / name).iterdir())]
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        pixels = processor([Image.open(path).convert("RGB") for path, _ in part], return_tensors="pt")["pixel_values"]
        yield pixels.float(), torch.tensor([index for _, index in part])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    transformers.utils.logging.disable_progress_bar()
    folders = [pathlib.Path(a) for a in sys.argv[2:]]
    models = [load_model(f) for f in folders]
    answers, labels = [[] for _ in models], []
    with torch.inference_mode():
        for pixels, index in batches(pathlib.Path(sys.argv[1]), load_processor(folders[0])):
            labels.append(index)
            for model, mine in zip(models, answers):
                mine.append(model(pixels).logits.argmax(-1))
    labels = torch.cat(labels)
    answers = [torch.cat(a) for a in answers]
    for folder, mine in zip(folders, answers):
        print(
            f"{folder}: top-1 {100 * (mine == labels).float().mean():.2f} % of {len(labels)}, "
            f"same answer as the first model on {100 * (mine == answers[0]).float().mean():.2f} %"
        )


if __name__ == "__main__":
    main()
