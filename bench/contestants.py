# SPDX-License-Identifier: Apache-2.0
"""The runtimes that compare.py lets run: their files, and one worker process for each.

A worker speaks what bench_model --serve speaks: "ready MS" with the time from imported modules to the first answer,
then for each line read, a number of runs, one line with their milliseconds. The first answer goes to a file.
"""
import contextlib
import importlib.util
import pathlib
import sys
import time

import quantized

TRACED, EXPORTED, FUSED = "ONNX by tracing", "ONNX by torch.export", "ONNX by transformers.optimizer"
CONVERTED = "converted from PyTorch"
QUANTIZED = {  # variant -> what writes it, from which variant
    f"{name} of {source}": (write, source)
    for name, write, sources in (("NNCF", quantized.write_nncf, (TRACED, EXPORTED, CONVERTED)),
                                 ("static QDQ", quantized.write_static, (TRACED, EXPORTED)),
                                 ("dynamic int8", quantized.write_dynamic, (TRACED, EXPORTED)))
    for source in sources}
NNCF = tuple(v for v in QUANTIZED if v.startswith("NNCF"))
VARIANTS = {  # runtime -> precision -> what it is tried with; the fastest takes part
    "OpenVINO": {"f32": (TRACED, EXPORTED, CONVERTED), "bf16": (TRACED, EXPORTED, CONVERTED), "i8": NNCF},
    "ONNX Runtime": {"f32": (TRACED, EXPORTED, FUSED), "i8": tuple(v for v in QUANTIZED if v not in NNCF)},
    "PyTorch": {"f32": ("eager", "compiled"), "bf16": ("autocast", "bfloat16 module", "compiled")},
}
MODULES = {"OpenVINO": "openvino", "ONNX Runtime": "onnxruntime", "PyTorch": "torch"}
CVTS = {  # behind "microsoft/", which may be there: arguments of the config class
    "cvt-13": dict(depth=[1, 2, 10]),
    "cvt-21": dict(depth=[1, 4, 16]),
    "cvt-w24": dict(depth=[2, 2, 20], embed_dim=[192, 768, 1024], num_heads=[3, 12, 16]),
}
CVT_SIZES = {"cvt-w24": (384, 384)}  # of the images, where they are not the library's default


def variants(runtime, precision):
    """Other runtimes have one kind of int8, which stands beside both of ours."""
    return VARIANTS[runtime].get(precision.removesuffix("-strict"), ())


def installed(runtime):
    return importlib.util.find_spec(MODULES[runtime]) is not None


class Case:
    """A model, an input size (height, width; None: the model's own) and a batch, and where their files are."""

    def __init__(self, name, size, batch, cache):
        self.name, self.batch = name.removeprefix("microsoft/"), batch
        self.size = size or CVT_SIZES.get(self.name)
        self.folder = pathlib.Path(cache) / (self.name if self.size is None else f"{self.name}-{self.size_text()}")
        self.checkpoint = self.folder / "checkpoint"
        self.pixels = self.folder / f"b{batch}.f32"  # [batch, height, width, 3]
        self.reference = self.folder / f"b{batch}-logits.npy"  # of PyTorch in f32
        self.files = {TRACED: self.folder / f"b{batch}.onnx",
                      EXPORTED: self.folder / f"b{batch}-exported.onnx",
                      FUSED: self.folder / f"b{batch}-fused.onnx",
                      CONVERTED: self.folder / f"b{batch}-openvino.xml"}
        for variant in QUANTIZED:
            words = "-".join(variant.lower().replace(".", " ").split())
            self.files[variant] = self.folder / f"b{batch}-{words}.{'xml' if variant in NNCF else 'onnx'}"

    def size_text(self):
        """The size as an option: one number for both sides where they are equal."""
        height, width = self.size
        return str(height) if height == width else f"{height}x{width}"

    def input(self):
        """[batch, 3, height, width]"""
        import numpy as np
        x = np.fromfile(self.pixels, np.float32)
        side = round((x.size // (3 * self.batch)) ** 0.5)
        x = x.reshape(self.batch, *(self.size or (side, side)), 3)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


# ---- Models and files ----

def create_cvt(name):
    import torch
    import transformers

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x).logits

    config = transformers.CvtConfig(**CVTS[name], num_labels=1000)
    model = transformers.CvtForImageClassification(config).eval()
    return Logits(model).eval(), model.save_pretrained


def create(case):
    """The architecture in PyTorch with random weights, and what saves it as its framework publishes it."""
    if case.name in CVTS:
        return create_cvt(case.name)
    import timm
    import timm.models
    height, width = case.size or (None, None)
    arguments = {} if case.size is None else {"img_size": height if height == width else [height, width]}
    model = timm.create_model(case.name, pretrained=False, **arguments).eval()

    def save(folder):
        timm.models.save_for_hf(model, folder, model_args=arguments or None, safe_serialization=True)
    return model, save


def randomise_norms(model):
    """They start as constants, those of Swin V2 as zeros: then logits would not tell what the blocks compute."""
    import torch
    for module in model.modules():
        if isinstance(module, (torch.nn.LayerNorm, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(module.weight, 1, 0.1)
            torch.nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def load(case):
    """The model with the weights of the checkpoint; parameters are only made once."""
    import safetensors.torch
    import torch
    weights = safetensors.torch.load_file(case.checkpoint / "model.safetensors")
    if case.name in CVTS:
        weights = {f"model.{name}": tensor for name, tensor in weights.items()}
    with torch.device("meta"):
        model, _ = create(case)
    model.load_state_dict(weights, strict=False, assign=True)
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):  # buffers that no checkpoint has
        model, _ = create(case)
        model.load_state_dict(weights, strict=False)
    return model.eval()


def write_traced(case, model, x):
    import torch
    torch.onnx.export(model, x, str(case.files[TRACED]), dynamo=False, opset_version=17)


def write_exported(case, model, x):
    import torch
    torch.onnx.export(model, (x,), str(case.files[EXPORTED]), dynamo=True, external_data=False, verbose=False)


def write_fused(case, model, x):
    from onnxruntime.transformers import optimizer
    kind = "swin" if case.name.startswith("swin") else "vit"
    optimizer.optimize_model(str(case.files[TRACED]), model_type=kind, opt_level=1, use_gpu=False).save_model_to_file(
        str(case.files[FUSED]))


def write_converted(case, model, x):
    import openvino
    converted = openvino.convert_model(model, example_input=x, input=list(x.shape))
    openvino.save_model(converted, case.files[CONVERTED], compress_to_fp16=False)


WRITERS = {TRACED: write_traced, EXPORTED: write_exported, FUSED: write_fused, CONVERTED: write_converted}


def write_missing(case, wanted, model, x):
    for variant in wanted:
        path = case.files[variant]
        if path.exists():
            continue
        with contextlib.suppress(Exception):  # then there is one variant less
            if variant in QUANTIZED:
                write, source = QUANTIZED[variant]
                write(case, str(case.files[source]), str(path))
            else:
                WRITERS[variant](case, model, x)


def prepare(case, precisions):
    """Writes the files that are missing."""
    import numpy as np
    import torch
    torch.manual_seed(0)
    case.folder.mkdir(parents=True, exist_ok=True)
    if not (case.checkpoint / "model.safetensors").exists():
        model, save = create(case)
        randomise_norms(model)
        save(str(case.checkpoint))
    model = load(case)
    if not case.reference.exists():
        own = getattr(model, "pretrained_cfg", {"input_size": (3, 224, 224)})["input_size"][1:]
        x = 2 * torch.rand(case.batch, *(case.size or own), 3) - 1  # within what 8-bit pixels become
        x.numpy().tofile(case.pixels)
    x = torch.from_numpy(case.input())
    with torch.inference_mode():
        if not case.reference.exists():
            np.save(case.reference, model(x).numpy())
        write_missing(case, WRITERS, model, x)
        if any(p.startswith("i8") for p in precisions):
            write_missing(case, QUANTIZED, model, x)


# ---- Runtimes: each returns a function that gives the logits ----

def onnxruntime(case, variant, precision, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")  # during its run,
    options.add_session_config_entry("session.force_spinning_stop", "1")  # not between runs
    session = ort.InferenceSession(str(case.files[variant]), options, providers=["CPUExecutionProvider"])
    x, name = case.input(), session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0]


def openvino(case, variant, precision, threads):
    import openvino as ov
    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
    if variant not in QUANTIZED:  # which run what is not int8 in what OpenVINO prefers on this CPU
        config["INFERENCE_PRECISION_HINT"] = precision
    request = ov.Core().compile_model(str(case.files[variant]), "CPU", config).create_infer_request()
    x = case.input()
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0]


def pytorch(case, variant, precision, threads):
    import torch
    torch.set_num_threads(threads)
    model, x = load(case), torch.from_numpy(case.input())
    if variant == "bfloat16 module" or (variant == "compiled" and precision == "bf16"):
        model, x = model.to(torch.bfloat16), x.to(torch.bfloat16)
    if variant == "compiled":
        model = torch.compile(model)

    def call():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=variant == "autocast"):
            return model(x).float().numpy()
    return call


MAKERS = {"OpenVINO": openvino, "ONNX Runtime": onnxruntime, "PyTorch": pytorch}
IMPORTED_FIRST = {"OpenVINO": ("openvino",), "ONNX Runtime": ("onnxruntime",),
                  "PyTorch": ("timm", "safetensors.torch", "transformers")}


# ---- The worker process ----

def import_torchvision_fix():
    """Lets timm import with a CPU build of torch beside torchvision from PyPI."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
    with contextlib.suppress(ImportError):
        import torchvision_ops  # noqa: F401


def work(case, runtime, variant, precision, threads, output):
    import numpy as np
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a runtime prints is not part of an answer
    if runtime == "PyTorch":
        import_torchvision_fix()
    for module in IMPORTED_FIRST[runtime]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    start = time.perf_counter()
    call = MAKERS[runtime](case, variant, precision, threads)
    logits = call()
    ms = 1e3 * (time.perf_counter() - start)
    np.asarray(logits, np.float32).tofile(output)
    print(f"ready {ms:.3f}", file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - start))
        print(*(f"{ms:.4f}" for ms in times), file=answers, flush=True)
