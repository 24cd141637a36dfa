#include "worker/models/torchscript_operators.h"

#include <algorithm>

namespace atelier::models {
namespace {

// In ascending order.
// clang-format off
constexpr std::string_view kTensorOperators[] = {
    "Bool", "Float", "FloatImplicit", "Int", "IntImplicit", "ScalarImplicit", "__and__",
    "__contains__", "__derive_index", "__getitem__", "__interpolate", "__is__", "__isnot__",
    "__not__", "__or__", "__range_length", "__setitem__", "__xor__", "_convolution", "_set_item",
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_lanczos2d_aa",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "abs",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d",
    "add", "addcdiv", "addcmul", "addmm", "affine_grid_generator", "alias", "all",
    "alpha_dropout", "amax", "amin", "any", "append", "arange", "argmax", "argmin", "atan2",
    "avg_pool1d", "avg_pool2d", "baddbmm", "batch_norm", "bitwise_and", "bitwise_not",
    "bitwise_or", "bmm", "cat", "ceil", "celu", "channel_shuffle", "chunk", "clamp", "clamp_max",
    "clamp_min", "clip", "clone", "col2im", "concat", "constant_pad_nd", "contiguous", "conv1d",
    "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "copy", "cos", "cumsum", "detach", "device", "dim", "div", "dropout",
    "einsum", "elu", "eq", "erf", "exp", "expand", "expand_as", "expm1", "extend", "eye",
    "feature_dropout", "fill", "flatten", "flip", "floor", "floor_divide", "floordiv", "fmod",
    "fold", "format", "frac", "frobenius_norm", "full", "full_like", "gather", "ge", "gelu",
    "glu", "grid_sampler", "grid_sampler_2d", "group_norm", "gt", "hardsigmoid", "hardswish",
    "hardtanh", "im2col", "index", "index_put", "index_select", "instance_norm", "interpolate",
    "is_autocast_enabled", "is_floating_point", "is_grad_enabled", "isfinite", "isinf", "isnan",
    "item", "layer_norm", "le", "leaky_relu", "len", "lerp", "linalg_vector_norm", "linear",
    "linspace", "list", "log", "log10", "log1p", "log2", "log_sigmoid", "log_softmax",
    "logical_and", "logical_not", "logical_or", "logical_xor", "lp_pool2d", "lt", "masked_fill",
    "matmul", "max", "max_pool1d", "max_pool2d", "maximum", "mean", "meshgrid", "min", "minimum",
    "mish", "mm", "movedim", "mul", "nan_to_num", "narrow", "native_batch_norm",
    "native_group_norm", "native_layer_norm", "ne", "neg", "new_full", "new_ones", "new_zeros",
    "norm", "numel", "ones", "ones_like", "pad", "permute", "pixel_shuffle", "pixel_unshuffle",
    "pow", "prelu", "prod", "reciprocal", "reflection_pad1d", "reflection_pad2d", "relu",
    "relu6", "remainder", "repeat", "repeat_interleave", "replication_pad1d",
    "replication_pad2d", "reshape", "reshape_as", "rms_norm", "roll", "rot90", "round", "rsqrt",
    "rsub", "scalar_tensor", "scaled_dot_product_attention", "select", "selu", "shape",
    "sigmoid", "sign", "silu", "sin", "size", "slice", "softmax", "softplus", "softsign",
    "split", "split_with_sizes", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "str",
    "sub", "sum", "swapaxes", "t", "tan", "tanh", "tensor", "tensor_split", "threshold", "tile",
    "to", "transpose", "tril", "triu", "true_divide", "trunc", "type_as", "unbind", "unflatten",
    "unfold", "unsqueeze", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d",
    "var", "var_mean", "view", "view_as", "warn", "where", "zero", "zeros", "zeros_like",
};

constexpr std::string_view kLanguageOperators[] = {
    "CallFunction", "CallMethod", "Constant", "Function", "GetAttr", "If", "ListConstruct",
    "ListUnpack", "Loop", "NumToTensor", "RaiseException", "TupleConstruct", "TupleIndex",
    "TupleSlice", "TupleUnpack", "Uninitialized", "abs", "annotate", "device", "dtype",
    "is_cuda", "is_nested", "isinstance", "layout", "max", "min", "rangelist", "requires_grad",
    "shape", "tolist", "type", "unchecked_cast", "unchecked_unwrap_optional",
};
// clang-format on

static_assert(std::ranges::is_sorted(kTensorOperators));
static_assert(std::ranges::is_sorted(kLanguageOperators));

}  // namespace

bool IsAllowedTensorOperator(std::string_view name) {
  if (name.ends_with('_') && !name.ends_with("__")) {
    name.remove_suffix(1);
  }
  return std::ranges::binary_search(kTensorOperators, name);
}

bool IsAllowedLanguageOperator(std::string_view name) {
  return std::ranges::binary_search(kLanguageOperators, name);
}

}  // namespace atelier::models
