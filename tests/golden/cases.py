# SPDX-License-Identifier: Apache-2.0
"""The golden cases: small sizes of published architectures, each chosen for what it exercises.

Keys of a case (make_golden.py reads them):
    case        name of its folder
    source      "timm" or "hf"
    name        timm's architecture or the class of transformers
    args        its arguments; hf: those of the config class `config`
    no_model_args                       timm: a config.json of which the architecture's name alone tells the shape
    pretrained_cfg                      timm: overrides, among them the preprocessing
    processor, processor_args           hf: the preprocessor's class and arguments
    processor_file                      hf: contents of preprocessor_config.json instead of what the class would save
    blocks      expression for the list of blocks of the model `m`
    stages      hierarchical models: expression for a list of (blocks, class tokens) of each stage
    images      list of (kind, width, height)
    run_size    (height, width) to run at when it is not the preprocessor's own
    dtype       "float16" or "bfloat16": the checkpoint's type; the reference computes in f32 from the rounded weights
    shard_size  hf: bytes per shard of a sharded checkpoint
    embed_scale factor on everything the embedding adds (and what batch norms read), so small that epsilons show
    logit_scale (mean, standard deviation) of the logit scales of SwinV2 when they are not (1.5, 0.2)
    seed        of weights and images; without it the case's name gives one
"""

_VIT = dict(img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=10)
_HF_VIT = dict(
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=192,
    image_size=64,
    patch_size=8,
    num_labels=10,
)
_CFG64 = dict(input_size=(3, 64, 64), crop_pct=0.9, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_PROC64 = dict(size={"height": 64, "width": 64}, resample=2, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
_PROC80_70 = dict(size={"shortest_edge": 80}, crop_size={"height": 70, "width": 70}, resample=3)

_TIMM_BLOCKS = "m.blocks"
_HF_BLOCKS = "m.base_model.layers if hasattr(m.base_model, 'layers') else m.base_model.encoder.layer"


def _timm(case, name, args, pretrained_cfg, **more):
    return dict(
        case=case, source="timm", name=name, args=args, pretrained_cfg=pretrained_cfg, blocks=_TIMM_BLOCKS, **more
    )


def _hf(case, name, config, args, processor, processor_args, **more):
    return dict(
        case=case,
        source="hf",
        name=name,
        config=config,
        args=args,
        processor=processor,
        processor_args=processor_args,
        blocks=_HF_BLOCKS,
        **more,
    )


# ---- the architectures, each with three images of different kinds
_ARCHITECTURES = [
    _timm("timm_vit", "vit_tiny_patch16_224", _VIT, _CFG64, seed=20),
    _timm(
        "timm_vit_avg_nocls",
        "vit_tiny_patch16_224",
        dict(_VIT, class_token=False, global_pool="avg", qkv_bias=False),
        dict(_CFG64, crop_pct=1.0),
        seed=120,
    ),
    _timm(
        "timm_deit_distilled",
        "deit_tiny_distilled_patch16_224",
        _VIT,
        dict(_CFG64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        seed=220,
    ),
    _timm("timm_deit3", "deit3_small_patch16_224", _VIT, _CFG64, seed=320),
    _timm(
        "timm_dinov2_reg",
        "vit_small_patch14_reg4_dinov2",
        dict(_VIT, patch_size=7, img_size=70),
        dict(_CFG64, input_size=(3, 70, 70)),
        seed=420,
    ),
    _hf("hf_vit", "ViTForImageClassification", "ViTConfig", _HF_VIT, "ViTImageProcessorPil", _PROC64, seed=520),
    _hf(
        "hf_deit_distilled",
        "DeiTForImageClassificationWithTeacher",
        "DeiTConfig",
        _HF_VIT,
        "DeiTImageProcessorPil",
        dict(size={"height": 72, "width": 72}, crop_size={"height": 64, "width": 64}, resample=3),
        seed=620,
    ),
    _hf(
        "hf_dinov2",
        "Dinov2ForImageClassification",
        "Dinov2Config",
        dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=3, image_size=112, patch_size=14, num_labels=10),
        "BitImageProcessorPil",
        _PROC80_70,
        seed=720,
    ),
    _hf(
        "hf_dinov2_registers",
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        dict(
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=3,
            image_size=56,
            patch_size=14,
            use_swiglu_ffn=True,
        ),
        "BitImageProcessorPil",
        _PROC80_70,
        seed=820,
    ),
]

# ---- variations of the architectures: two blocks, one or two small images
_PHOTO = [("rgb", 53, 41)]
_TWO = [("rgb", 53, 41), ("grey", 24, 31)]
_SMALL = dict(img_size=32, patch_size=4, embed_dim=24, depth=2, num_heads=2, mlp_ratio=2, num_classes=7)
_CFG = dict(
    input_size=(3, 32, 32), crop_pct=0.9, interpolation="bicubic", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
_HF = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=56,
    image_size=32,
    patch_size=4,
    num_labels=7,
)
_HF_DINO = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=42, patch_size=7, num_labels=7
)
_PROC = dict(size={"height": 32, "width": 32}, resample=2)


def _size(height, width):
    return dict(size={"height": height, "width": width}, resample=3, do_center_crop=False)


def _hf_vit(case, processor_args=_PROC, config=None, **more):
    return _hf(
        case,
        "ViTForImageClassification",
        "ViTConfig",
        dict(_HF, **(config or {})),
        "ViTImageProcessorPil",
        processor_args,
        **{"images": _PHOTO, **more},
    )


_VARIATIONS = [
    # sizes no other case has, and grids that are not square
    _timm(
        "timm_odd_sizes",
        "vit_tiny_patch16_224",
        dict(_SMALL, img_size=(60, 45), patch_size=5, embed_dim=40, num_heads=5),
        dict(_CFG, input_size=(3, 60, 45)),
        images=_PHOTO,
    ),
    _timm("timm_resized_up", "vit_tiny_patch16_224", _SMALL, _CFG, run_size=(44, 44), images=_PHOTO),
    _timm("timm_resized_rectangle", "vit_small_patch16_224", _SMALL, _CFG, run_size=(20, 44), images=_TWO),
    _timm(
        "timm_resized_from_rectangle",
        "vit_base_patch16_224",
        dict(_SMALL, img_size=(24, 36)),
        dict(_CFG, input_size=(3, 24, 36)),
        run_size=(28, 28),
        images=_PHOTO,
    ),
    _timm(
        "timm_deit_distilled_resized",
        "deit_small_distilled_patch16_224",
        _SMALL,
        _CFG,
        run_size=(40, 28),
        images=_PHOTO,
    ),
    _timm("timm_deit3_resized", "deit3_base_patch16_224", _SMALL, _CFG, run_size=(24, 24), images=_PHOTO),
    _timm(
        "timm_dinov2_reg_resized",
        "vit_base_patch14_reg4_dinov2",
        dict(_SMALL, img_size=42, patch_size=7),
        dict(_CFG, input_size=(3, 42, 42), crop_pct=1.0),
        run_size=(35, 56),
        images=_PHOTO,
    ),
    _hf_vit("hf_vit_rectangle", dict(_PROC, size={"height": 24, "width": 40}), dict(image_size=[24, 40])),
    _hf_vit("hf_vit_interpolated", run_size=(44, 44)),
    _hf_vit("hf_vit_interpolated_rectangle", run_size=(20, 48), images=_TWO),
    _hf(
        "hf_deit_interpolated",
        "DeiTForImageClassificationWithTeacher",
        "DeiTConfig",
        _HF,
        "DeiTImageProcessorPil",
        dict(size={"height": 36, "width": 36}, crop_size={"height": 32, "width": 32}, resample=3),
        run_size=(48, 40),
        images=_PHOTO,
    ),
    _hf(
        "hf_dinov2_same_count",
        "Dinov2ForImageClassification",
        "Dinov2Config",
        _HF_DINO,
        "BitImageProcessorPil",
        _size(28, 63),
        images=_PHOTO,
    ),
    _hf(
        "hf_dinov2_remainder",
        "Dinov2ForImageClassification",
        "Dinov2Config",
        _HF_DINO,
        "BitImageProcessorPil",
        _size(45, 34),
        images=_PHOTO,
    ),
    _hf(
        "hf_dinov2_run_size",
        "Dinov2ForImageClassification",
        "Dinov2Config",
        _HF_DINO,
        "BitImageProcessorPil",
        dict(size={"shortest_edge": 40}, crop_size={"height": 35, "width": 35}, resample=3),
        run_size=(49, 49),
        images=_PHOTO,
    ),
    _hf(
        "hf_dinov2_registers_up",
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        _HF_DINO,
        "BitImageProcessorPil",
        _size(63, 49),
        images=_PHOTO,
    ),
    # pooling, heads and models without a head
    _timm("timm_avg_with_class_token", "vit_tiny_patch16_224", dict(_SMALL, global_pool="avg"), _CFG, images=_PHOTO),
    _timm("timm_avg_no_fc_norm", "vit_base_patch16_gap_224", _SMALL, _CFG, images=_PHOTO),
    _timm("timm_no_pool", "vit_tiny_patch16_224", dict(_SMALL, global_pool="", num_classes=0), _CFG, images=_PHOTO),
    _timm("timm_no_head", "vit_small_patch14_dinov2", dict(_SMALL, num_classes=0), _CFG, images=_PHOTO),
    _timm(
        "timm_no_head_avg", "vit_tiny_patch16_224", dict(_SMALL, global_pool="avg", num_classes=0), _CFG, images=_PHOTO
    ),
    _hf("hf_vit_model", "ViTModel", "ViTConfig", _HF, "ViTImageProcessorPil", _PROC, images=_PHOTO),
    _hf("hf_deit_model", "DeiTModel", "DeiTConfig", _HF, "DeiTImageProcessorPil", _size(32, 32), images=_PHOTO),
    _hf(
        "hf_dinov2_model",
        "Dinov2Model",
        "Dinov2Config",
        dict(_HF_DINO, use_swiglu_ffn=True),
        "BitImageProcessorPil",
        _size(42, 42),
        images=_PHOTO,
    ),
    _hf(
        "hf_deit",
        "DeiTForImageClassification",
        "DeiTConfig",
        _HF,
        "DeiTImageProcessorPil",
        _size(32, 32),
        images=_PHOTO,
    ),
    # inside the blocks
    _timm(
        "timm_swiglu",
        "vit_giant_patch14_dinov2",
        dict(_SMALL, img_size=28, patch_size=7, mlp_ratio=3),
        dict(_CFG, input_size=(3, 28, 28)),
        images=_PHOTO,
    ),
    _timm("timm_qk_norm", "vit_tiny_patch16_224", dict(_SMALL, qk_norm=True), _CFG, images=_PHOTO),
    _timm("timm_clip", "vit_base_patch16_clip_224", _SMALL, _CFG, embed_scale=0.003, images=_PHOTO),
    _timm("timm_clip_quickgelu", "vit_base_patch32_clip_quickgelu_224", _SMALL, _CFG, images=_PHOTO),
    _timm("timm_siglip_gap", "vit_base_patch16_siglip_gap_224", _SMALL, _CFG, images=_PHOTO),
    _timm("timm_epsilon", "vit_tiny_patch16_224", dict(_SMALL, depth=1), _CFG, embed_scale=0.001, images=_PHOTO),
    _hf_vit("hf_vit_no_qkv_bias", config=dict(qkv_bias=False)),
    _hf_vit("hf_vit_relu", config=dict(hidden_act="relu", layer_norm_eps=0.01)),
    _hf_vit("hf_vit_gelu_new", config=dict(hidden_act="gelu_new")),
    _hf_vit("hf_vit_gelu_pytorch_tanh", config=dict(hidden_act="gelu_pytorch_tanh")),
    _hf_vit("hf_vit_quick_gelu", config=dict(hidden_act="quick_gelu")),
    _hf_vit("hf_vit_silu", config=dict(hidden_act="silu")),
    # how the weights are stored
    _hf_vit("hf_vit_f16", dtype="float16"),
    _hf(
        "hf_dinov2_bf16",
        "Dinov2ForImageClassification",
        "Dinov2Config",
        _HF_DINO,
        "BitImageProcessorPil",
        _size(49, 49),
        dtype="bfloat16",
        images=_PHOTO,
    ),
    _timm("timm_vit_f16", "vit_tiny_patch16_224", _SMALL, _CFG, dtype="float16", images=_PHOTO),
    _timm("timm_vit_bf16", "vit_tiny_patch16_224", _SMALL, _CFG, dtype="bfloat16", images=_PHOTO),
    _hf_vit("hf_vit_sharded", shard_size=30_000),
]

# ---- preprocessing: the smallest of models; images above and below the target, with odd differences
_IMAGES = [("rgb", 47, 38), ("grey", 17, 29), ("rgba", 64, 21)]
_TINY = dict(img_size=24, patch_size=8, embed_dim=8, depth=1, num_heads=2, mlp_ratio=2, num_classes=5)
_HF_TINY = dict(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=24,
    patch_size=8,
    num_labels=5,
)
_MEAN = dict(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
_HALF = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])


def _timm_pre(case, size=24, images=_IMAGES, **cfg):
    height, width = size if isinstance(size, tuple) else (size, size)
    return _timm(
        case,
        "vit_tiny_patch16_224",
        dict(_TINY, img_size=size),
        dict(_MEAN, **{"input_size": (3, height, width), "interpolation": "bicubic", **cfg}),
        images=images,
    )


def _hf_pre(case, processor, images=_IMAGES, processor_file=None, **args):
    more = dict(processor_file=processor_file) if processor_file else {}
    return _hf(
        case,
        "ViTForImageClassification",
        "ViTConfig",
        _HF_TINY,
        processor + "ImageProcessorPil",
        args,
        images=images,
        **more,
    )


def _hw(height, width):
    return {"height": height, "width": width}


_PREPROCESSING = [
    _timm_pre("timm_pre_bilinear", interpolation="bilinear", crop_pct=0.875),
    _timm_pre("timm_pre_lanczos", interpolation="lanczos", crop_pct=0.95),
    _timm_pre("timm_pre_box", interpolation="box", crop_pct=0.9),
    _timm_pre("timm_pre_hamming", interpolation="hamming", crop_pct=0.9),
    _timm_pre("timm_pre_nearest", interpolation="nearest", crop_pct=0.9),
    _timm_pre("timm_pre_rectangle", size=(24, 40), crop_pct=0.9),
    _timm_pre("timm_pre_squash", crop_mode="squash", crop_pct=0.9),
    _timm_pre("timm_pre_squash_rectangle", size=(40, 24), crop_mode="squash", crop_pct=1.0),
    _timm_pre("timm_pre_border", crop_mode="border", crop_pct=1.0),
    _timm_pre("timm_pre_border_cropped", size=(24, 32), crop_mode="border", crop_pct=0.8),
    _timm_pre("timm_pre_padded", crop_pct=1.25),
    _hf_pre("hf_pre_shortest", "Bit", size={"shortest_edge": 27}, crop_size=_hw(24, 24)),
    _hf_pre("hf_pre_padded", "Bit", size={"shortest_edge": 19}, crop_size=_hw(24, 24)),
    _hf_pre("hf_pre_padded_and_cropped", "DeiT", size=_hw(19, 31), crop_size=_hw(24, 24)),
    _hf_pre("hf_pre_no_crop", "DeiT", size=_hw(24, 24), do_center_crop=False),
    _hf_pre("hf_pre_no_resize", "Bit", do_resize=False, crop_size=_hw(24, 24)),
    _hf_pre("hf_pre_no_resize_no_crop", "ViT", do_resize=False, images=[("rgb", 24, 24), ("grey", 24, 24)]),
    _hf_pre(
        "hf_pre_no_rescale",
        "ViT",
        size=_hw(24, 24),
        do_rescale=False,
        image_mean=[123.675, 116.28, 103.53],
        image_std=[58.395, 57.12, 57.375],
    ),
    _hf_pre("hf_pre_no_normalize", "ViT", size=_hw(24, 24), do_normalize=False),
    _hf_pre(
        "hf_pre_rescale_factor",
        "ViT",
        size=_hw(24, 24),
        rescale_factor=0.00784313725490196,
        image_mean=[1.0, 0.9, 1.1],
        image_std=[1.0, 0.8, 1.2],
    ),
    _hf_pre("hf_pre_lanczos", "ViT", size=_hw(24, 24), resample=1),
    _hf_pre("hf_pre_box", "ViT", size=_hw(24, 24), resample=4),
    _hf_pre("hf_pre_nearest", "ViT", size=_hw(24, 24), resample=0),
    _hf_pre(
        "hf_pre_modes",
        "ViT",
        size=_hw(24, 24),
        images=[("palette", 33, 30), ("grey_alpha", 20, 26), ("bilevel", 40, 31), ("rgb", 1, 50)],
    ),
    # files as the first versions wrote them: plain integers, the class under its old name, defaults left out
    _hf_pre(
        "hf_pre_legacy_vit",
        "ViT",
        processor_file=dict(
            do_normalize=True, do_resize=True, feature_extractor_type="ViTFeatureExtractor", size=24, **_HALF
        ),
    ),
    _hf_pre(
        "hf_pre_legacy_deit",
        "DeiT",
        processor_file=dict(
            crop_size=24,
            do_center_crop=True,
            do_normalize=True,
            do_resize=True,
            feature_extractor_type="DeiTFeatureExtractor",
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=3,
            size=29,
        ),
    ),
    _hf_pre(
        "hf_pre_legacy_bit", "Bit", processor_file=dict(crop_size=24, image_processor_type="BitImageProcessor", size=27)
    ),
]

# ---- Swin, SwinV2 and CvT
_TIMM_SWIN_BLOCKS = "[b for s in m.layers for b in s.blocks]"
_TIMM_STAGES = "[(len(s.blocks), 0) for s in m.layers]"
_PROC16 = dict(size={"height": 16, "width": 16}, resample=2)
_SWIN_BLOCKS = "[b for s in m.base_model.encoder.layers for b in s.blocks]"
_SWIN_STAGES = "[(len(s.blocks), 0) for s in m.base_model.encoder.layers]"
_CVT_BLOCKS = "[b for s in m.base_model.encoder.stages for b in s.layers]"
_CVT_STAGES = "[(len(s.layers), int(hasattr(s, 'cls_token'))) for s in m.base_model.encoder.stages]"

_SMALL_PHOTO = [("rgb", 37, 29)]
_SMALL_TWO = [("rgb", 37, 29), ("grey", 24, 31)]
_SWIN3 = dict(patch_size=4, embed_dim=8, depths=(2, 2, 2), num_heads=(2, 2, 4), window_size=4)
_SWIN2 = dict(patch_size=2, embed_dim=6, depths=(2, 2), num_heads=(2, 3), window_size=4, mlp_ratio=2)
_SWINV2 = dict(num_heads=(1, 2))
_CVT3 = dict(embed_dim=[6, 8, 12], num_heads=[1, 2, 3], depth=[1, 2, 3], mlp_ratio=[2.0, 2.0, 2.0])


def _timm_swin(case, args, name="swin_tiny_patch4_window7_224", **more):
    """Blocks of two stages on a map of 8 x 8 unless the arguments say otherwise."""
    args = dict(dict(_SWIN2, num_classes=7, img_size=16), **args)
    height, width = args["img_size"] if isinstance(args["img_size"], tuple) else (args["img_size"],) * 2
    return dict(
        case=case,
        source="timm",
        name=name,
        args={k: v for k, v in args.items() if v is not None},
        pretrained_cfg=dict(_CFG, input_size=(3, height, width)),
        blocks=_TIMM_SWIN_BLOCKS,
        stages=_TIMM_STAGES,
        **{"images": _SMALL_PHOTO, **more},
    )


def _timm_swinv2(case, args, name="swinv2_tiny_window8_256", **more):
    return _timm_swin(case, _SWINV2 | args, name, **more)


def _hf_swin(case, args, processor_args=_PROC16, name="SwinForImageClassification", config="SwinConfig", **more):
    args = dict(_SWIN2, image_size=16, num_labels=7) | args
    return _hf(case, name, config, args, "ViTImageProcessorPil", processor_args) | {
        "blocks": _SWIN_BLOCKS,
        "stages": _SWIN_STAGES,
        "images": _SMALL_PHOTO,
        **more,
    }


def _hf_swinv2(case, args, processor_args=_PROC16, name="Swinv2ForImageClassification", **more):
    args = _SWINV2 | dict(mlp_ratio=2.0, pretrained_window_sizes=[0, 0]) | args
    return _hf_swin(case, args, processor_args, name, "Swinv2Config", **more)


def _hf_cvt(case, args, edge=32, name="CvtForImageClassification", **more):
    processor_args = dict(size={"shortest_edge": edge}, crop_pct=0.875, resample=3)
    args = dict(_CVT3, num_labels=7) | args
    return _hf(case, name, "CvtConfig", args, "ConvNextImageProcessorPil", processor_args) | {
        "blocks": _CVT_BLOCKS,
        "stages": _CVT_STAGES,
        "images": _SMALL_PHOTO,
        **more,
    }


_HIERARCHICAL = [
    # the architectures
    _timm_swin("timm_swin", dict(_SWIN3, img_size=64, num_classes=10, mlp_ratio=4), seed=920),
    _timm_swin("timm_swin_padded", dict(img_size=72, patch_size=4, embed_dim=12, num_heads=(2, 4)), seed=1020),
    _timm_swinv2("timm_swinv2", dict(img_size=64, patch_size=4, embed_dim=12, num_heads=(2, 4)), seed=1120),
    _hf_swin("hf_swin", dict(_SWIN3, image_size=64, mlp_ratio=4), dict(_PROC64, resample=3), seed=1220),
    _hf_swinv2(
        "hf_swinv2",
        dict(_SWIN3, image_size=64, mlp_ratio=4.0, pretrained_window_sizes=[0, 0, 0]),
        dict(_PROC64, resample=3),
        seed=1320,
    ),
    _hf_cvt(
        "hf_cvt",
        dict(embed_dim=[8, 16, 24], mlp_ratio=[4.0, 4.0, 4.0], num_labels=10),
        64,
        seed=1420,
    ),
    # timm's Swin. Maps: 8x12 and 4x6, where the windows fill the height; 9x11 and 5x6; 13x11 and 7x6 at the run size;
    # 6x6 and 3x3; 4x10 and 2x5; 10x10 and 5x5 from a table for 3x3; 9x14 and 5x7
    _timm_swin("timm_swin_rectangle", dict(img_size=(16, 24))),
    _timm_swin("timm_swin_odd", dict(img_size=(27, 33), patch_size=3, depths=(1, 3))),
    _timm_swin("timm_swin_run_size", {}, run_size=(26, 22)),
    _timm_swin("timm_swin_small_map", {}, run_size=(12, 12), images=_SMALL_TWO),
    _timm_swin("timm_swin_small_rectangle", {}, run_size=(8, 20)),
    _timm_swin("timm_swin_map_grows", dict(img_size=12), run_size=(20, 20)),
    _timm_swin("timm_swin_window12", dict(img_size=(18, 28), window_size=None), "swin_base_patch4_window12_384"),
    _timm_swin("timm_swin_window_rectangle", dict(img_size=(18, 22), window_size=(3, 4))),
    _timm_swin(
        "timm_swin_window_per_stage",
        dict(
            img_size=(20, 12),
            depths=(1, 2, 1),
            num_heads=(1, 2, 3),
            window_size=(4, 3, 2),
            qkv_bias=False,
        ),
        "swin_s3_tiny_224",
    ),
    _timm_swin("timm_swin_epsilon", dict(img_size=12), embed_scale=0.003),
    _timm_swin("timm_swin_no_head", dict(img_size=(12, 20), num_classes=0)),
    _timm_swin("timm_swin_no_pool", dict(img_size=(20, 12), num_classes=0, global_pool="")),
    # timm's SwinV2
    _timm_swinv2("timm_swinv2_rectangle", dict(img_size=(16, 24))),
    _timm_swinv2("timm_swinv2_odd", dict(img_size=(18, 22), depths=(1, 3), qkv_bias=False)),
    _timm_swinv2("timm_swinv2_run_size", {}, run_size=(26, 22)),
    _timm_swinv2("timm_swinv2_small_map", {}, run_size=(12, 12), images=_SMALL_TWO),
    _timm_swinv2("timm_swinv2_small_rectangle", {}, run_size=(8, 20)),
    _timm_swinv2("timm_swinv2_map_grows", dict(img_size=12), run_size=(20, 20)),
    _timm_swinv2("timm_swinv2_pretrained_windows", dict(pretrained_window_sizes=(6, 3))),
    _timm_swinv2(
        "timm_swinv2_12to16",
        dict(img_size=24, embed_dim=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 4), window_size=None),
        "swinv2_base_window12to16_192to256",
    ),
    _timm_swinv2("timm_swinv2_window_rectangle", dict(img_size=(18, 22), window_size=(3, 4))),
    _timm_swinv2("timm_swinv2_clamp", dict(num_heads=(2, 4)), logit_scale=(4.8, 0.4), seed=19),
    _timm_swinv2("timm_swinv2_no_head", dict(img_size=(12, 20), num_classes=0)),
    _timm_swinv2("timm_swinv2_no_pool", dict(img_size=(20, 12), num_classes=0, global_pool="")),
    # transformers' Swin: no shift at all where the shorter side of the map is the window; maps of 9x11 and 5x6; pixels
    # that patches do not divide
    _hf_swin("hf_swin_rectangle", dict(image_size=[16, 24]), _size(16, 24)),
    _hf_swin("hf_swin_run_size", dict(depths=(1, 3)), run_size=(18, 22)),
    _hf_swin("hf_swin_remainder", {}, _size(21, 17)),
    _hf_swin("hf_swin_absolute", dict(use_absolute_embeddings=True)),
    _hf_swin("hf_swin_absolute_rectangle", dict(use_absolute_embeddings=True, image_size=[16, 20]), _size(16, 20)),
    _hf_swin("hf_swin_absolute_interpolated", dict(use_absolute_embeddings=True), run_size=(18, 22)),
    _hf_swin(
        "hf_swin_epsilon",
        dict(patch_size=3, layer_norm_eps=0.01, hidden_act="relu", qkv_bias=False),
        _size(24, 27),
        embed_scale=0.003,
    ),
    _hf_swin("hf_swin_model", dict(hidden_act="gelu_new"), _size(16, 20), "SwinModel"),
    # transformers' SwinV2: windows and shifts of the trained size
    _hf_swinv2("hf_swinv2_rectangle", dict(image_size=[12, 24]), _size(12, 24)),
    _hf_swinv2("hf_swinv2_upright", dict(image_size=[24, 12]), _size(24, 12)),
    _hf_swinv2("hf_swinv2_odd", dict(image_size=18, window_size=5, qkv_bias=False), _size(18, 18)),
    _hf_swinv2("hf_swinv2_run_size", {}, run_size=(26, 22)),
    _hf_swinv2("hf_swinv2_smaller", {}, run_size=(6, 12), images=_SMALL_TWO),
    _hf_swinv2("hf_swinv2_remainder", dict(image_size=24), _size(21, 17)),
    _hf_swinv2("hf_swinv2_pretrained_windows", dict(pretrained_window_sizes=[6, 3])),
    _hf_swinv2("hf_swinv2_clamp", dict(embed_dim=4, num_heads=(2, 4)), logit_scale=(4.8, 0.4), seed=9),
    _hf_swinv2("hf_swinv2_epsilon", dict(layer_norm_eps=0.01, hidden_act="relu"), embed_scale=0.003),
    _hf_swinv2("hf_swinv2_model", dict(image_size=12, hidden_act="gelu_new"), _size(12, 12), "Swinv2Model"),
    # CvT; transformers wants more blocks in stage k than k
    _hf_cvt("hf_cvt_rectangle", {}, run_size=(24, 40)),
    _hf_cvt("hf_cvt_odd", {}, run_size=(29, 37)),
    _hf_cvt("hf_cvt_larger", {}, run_size=(46, 46)),
    _hf_cvt(
        "hf_cvt_kernels",
        dict(
            patch_sizes=[5, 3, 2],
            patch_stride=[3, 2, 2],
            patch_padding=[1, 0, 1],
            kernel_qkv=[3, 5, 1],
            padding_q=[1, 2, 0],
            padding_kv=[0, 2, 0],
            stride_kv=[2, 1, 1],
            qkv_bias=[False, True, False],
        ),
    ),
    _hf_cvt(
        "hf_cvt_no_class_token",
        dict(cls_token=[False, False, False], stride_kv=[1, 2, 1], depth=[2, 2, 3], mlp_ratio=[1.5, 2.0, 3.0]),
    ),
    _hf_cvt(
        "hf_cvt_two_stages",
        dict(
            embed_dim=[12, 12],
            num_heads=[4, 2],
            depth=[1, 2],
            mlp_ratio=[2.0, 2.0],
            patch_sizes=[7, 3],
            patch_stride=[4, 2],
            patch_padding=[2, 1],
            drop_rate=[0.0, 0.0],
            drop_path_rate=[0.0, 0.1],
            attention_drop_rate=[0.0, 0.0],
            qkv_bias=[True, True],
            cls_token=[True, True],
            qkv_projection_method=["dw_bn", "dw_bn"],
            kernel_qkv=[3, 3],
            padding_q=[1, 1],
            padding_kv=[1, 1],
            stride_q=[1, 1],
            stride_kv=[2, 2],
        ),
    ),
    _hf_cvt("hf_cvt_epsilon", {}, embed_scale=0.03),
    _hf_cvt("hf_cvt_model", {}, name="CvtModel"),
    # ConvNextImageProcessor, which CvT uses
    _hf_pre("hf_pre_convnext", "ConvNext", size={"shortest_edge": 24}, crop_pct=0.9),
    _hf_pre("hf_pre_convnext_larger", "ConvNext", size={"shortest_edge": 24}) | {"run_size": (40, 40)},
    _hf_pre("hf_pre_convnext_rectangle", "ConvNext", size={"shortest_edge": 24}, resample=2) | {"run_size": (24, 40)},
    _hf_pre(
        "hf_pre_legacy_convnext",
        "ConvNext",
        processor_file=dict(
            crop_pct=0.875,
            do_normalize=True,
            do_resize=True,
            feature_extractor_type="ConvNextFeatureExtractor",
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=3,
            size=24,
        ),
    ),
]

CASES = _ARCHITECTURES + _VARIATIONS + _PREPROCESSING + _HIERARCHICAL

# ---- published sizes: too large to keep, for `make_golden.py --large --out OUT`
_LARGE_TIMM = dict(
    source="timm", args={}, pretrained_cfg={}, blocks=_TIMM_SWIN_BLOCKS, stages=_TIMM_STAGES, images=_PHOTO
)
LARGE = [
    dict(case="large_timm_swin_tiny", name="swin_tiny_patch4_window7_224", no_model_args=True, **_LARGE_TIMM),
    dict(case="large_timm_swinv2_tiny", name="swinv2_tiny_window8_256", **_LARGE_TIMM),
    _hf("large_hf_swin_tiny", "SwinForImageClassification", "SwinConfig", {}, "ViTImageProcessorPil", dict(resample=3))
    | dict(blocks=_SWIN_BLOCKS, stages=_SWIN_STAGES, images=_PHOTO),
    _hf(
        "large_hf_swinv2_tiny",
        "Swinv2ForImageClassification",
        "Swinv2Config",
        dict(image_size=256, window_size=8),
        "ViTImageProcessorPil",
        dict(size={"height": 256, "width": 256}, resample=3),
    )
    | dict(blocks=_SWIN_BLOCKS, stages=_SWIN_STAGES, images=_PHOTO),
    _hf_cvt(
        "large_hf_cvt_13",
        dict(embed_dim=[64, 192, 384], num_heads=[1, 3, 6], depth=[1, 2, 10], mlp_ratio=[4.0] * 3),
        224,
    ),
    # from 384 on ConvNextImageProcessor squashes the whole image
    _hf_cvt("large_hf_cvt_384", {}, 384),
]
