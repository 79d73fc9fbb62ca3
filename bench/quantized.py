# SPDX-License-Identifier: Apache-2.0
"""Int8 files of the other runtimes, as their own tools make them; calibrated on noise, since only times are compared.

What is written was chosen by time among what the tools offer. OpenVINO: NNCF's preset for transformers. ONNX Runtime:
QDQ around the inputs of products only, since with quantized outputs GELU and LayerNorm are no longer fused; or weights
in int8 and activations quantized while it runs.
"""
import tempfile

CALIBRATION_RUNS = 4  # each of a whole batch


def noise(case):
    import numpy as np
    numbers = np.random.default_rng(0)
    return [2 * numbers.random(case.input().shape, dtype=np.float32) - 1 for _ in range(CALIBRATION_RUNS)]


def nncf_quantized(model, images):
    """An OpenVINO model in int8; images: what it takes as inputs."""
    import nncf
    return nncf.quantize(model, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(images))


def write_nncf(case, source, path):
    import openvino
    openvino.save_model(nncf_quantized(openvino.Core().read_model(source), noise(case)), path, compress_to_fp16=False)


def preprocessed(source, folder):
    """What ONNX Runtime's tool wants done before it quantizes: shapes, constants, simple fusions."""
    from onnxruntime.quantization.shape_inference import quant_pre_process
    path = f"{folder}/preprocessed.onnx"
    quant_pre_process(str(source), path, skip_symbolic_shape=True)
    return path


def write_static(case, source, path):
    import onnxruntime
    from onnxruntime import quantization
    name = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter([{name: x} for x in noise(case)])

        def get_next(self):
            return next(self.feeds, None)

    products = ["MatMul", "Gemm", "Conv"]
    with tempfile.TemporaryDirectory() as folder:
        quantization.quantize_static(
            preprocessed(source, folder), path, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=products, extra_options={"OpTypesToExcludeOutputQuantization": products})


def write_dynamic(case, source, path):
    from onnxruntime import quantization
    with tempfile.TemporaryDirectory() as folder:
        quantization.quantize_dynamic(
            preprocessed(source, folder), path, weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"])
