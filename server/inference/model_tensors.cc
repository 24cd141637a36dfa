#include "server/inference/model_tensors.h"

#include <algorithm>

#include "server/admission/controls.h"
#include "server/models/identity_model.h"

namespace atelier::server {
namespace {

constexpr char kPlatform[] = "atelier";
constexpr std::uint64_t kPriorityLevels = 3;
constexpr std::uint64_t kDefaultPriorityLevel = 2;

const char* NameOf(inference::DataType type) {
  switch (type) {
    case inference::TYPE_UINT8:
      return "UINT8";
    case inference::TYPE_INT64:
      return "INT64";
    default:
      return "BYTES";
  }
}

void Describe(const TensorSpec& tensor,
              inference::ModelMetadataResponse::TensorMetadata& description) {
  description.set_name(tensor.name);
  description.set_datatype(NameOf(tensor.type));
  description.add_shape(-1);
  description.mutable_shape()->Add(tensor.dims.begin(), tensor.dims.end());
}

template <typename Description>
void DescribeConfig(const TensorSpec& tensor, Description& description) {
  description.set_name(tensor.name);
  description.set_data_type(tensor.type);
  description.mutable_dims()->Add(tensor.dims.begin(), tensor.dims.end());
}

}  // namespace

InferenceKind KindOf(const ModelVersion& model) {
  if (model.family == kIdentityModel) {
    return InferenceKind::kIdentity;
  }
  return MakesPatterns(model) ? InferenceKind::kGenerate : InferenceKind::kStylize;
}

ModelTensors TensorsOf(const ModelVersion& model) {
  switch (KindOf(model)) {
    case InferenceKind::kIdentity:
      return {.inputs = {{kIdentityInput, inference::TYPE_UINT8, {-1}}},
              .outputs = {{kIdentityOutput, inference::TYPE_UINT8, {-1}}}};
    case InferenceKind::kGenerate:
      return {.inputs = {{kSeedTensor, inference::TYPE_INT64, {1}}},
              .outputs = {{kPatternTensor, inference::TYPE_STRING, {1}}}};
    case InferenceKind::kStylize:
      break;
  }
  ModelTensors tensors = {.inputs = {{kImageTensor, inference::TYPE_STRING, {1}}},
                          .outputs = {{kStylizedTensor, inference::TYPE_STRING, {1}}}};
  if (std::ranges::find(model.capabilities, kStyleImageTensor) != model.capabilities.end()) {
    tensors.inputs.push_back({kStyleImageTensor, inference::TYPE_STRING, {1}});
  }
  return tensors;
}

void Describe(const ModelVersion& model, const std::vector<ModelVersion>& versions,
              inference::ModelMetadataResponse& response) {
  response.set_name(model.name);
  for (const ModelVersion& version : versions) {
    response.add_versions(std::to_string(version.version));
  }
  response.set_platform(kPlatform);
  const ModelTensors tensors = TensorsOf(model);
  for (const TensorSpec& tensor : tensors.inputs) {
    Describe(tensor, *response.add_inputs());
  }
  for (const TensorSpec& tensor : tensors.outputs) {
    Describe(tensor, *response.add_outputs());
  }
  auto& properties = *response.mutable_properties();
  properties["version"] = std::to_string(model.version);
  properties["family"] = model.family;
  if (KindOf(model) == InferenceKind::kStylize) {
    properties["image"] =
        "JPEG, PNG or WebP as BYTES; or pixels, and stylized is of the same kind: "
        "UINT8 [N,H,W,3], or FP32 [N,3,H,W] from 0 to 1";
  }
}

void DescribeConfig(const ModelVersion& model, bool cached, inference::ModelConfig& config) {
  config.set_name(model.name);
  config.set_platform(kPlatform);
  config.set_backend(kPlatform);
  config.mutable_version_policy()->mutable_all();
  config.set_max_batch_size(kMaxInferenceBatch);
  const ModelTensors tensors = TensorsOf(model);
  for (const TensorSpec& tensor : tensors.inputs) {
    DescribeConfig(tensor, *config.add_input());
  }
  for (const TensorSpec& tensor : tensors.outputs) {
    DescribeConfig(tensor, *config.add_output());
  }
  inference::ModelDynamicBatching& batching = *config.mutable_dynamic_batching();
  batching.set_max_queue_delay_microseconds(
      static_cast<std::uint64_t>(absl::ToInt64Microseconds(model.batch_max_delay)));
  batching.set_priority_levels(kPriorityLevels);
  batching.set_default_priority_level(kDefaultPriorityLevel);
  batching.mutable_default_queue_policy()->set_allow_timeout_override(true);
  config.mutable_response_cache()->set_enable(cached && KindOf(model) == InferenceKind::kStylize);
  (*config.mutable_parameters())["family"].set_string_value(model.family);
  (*config.mutable_parameters())["version"].set_string_value(std::to_string(model.version));
}

}  // namespace atelier::server
