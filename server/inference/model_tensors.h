// What a model takes and gives in the tensors of the Open Inference Protocol, and how the protocol
// describes that. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/grpc_service.pb.h"
#include "inference/model_config.pb.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// The first dimension of every tensor counts pictures, 1 to this.
inline constexpr std::int64_t kMaxInferenceBatch = 8;

inline constexpr char kImageTensor[] = "image";
inline constexpr char kStyleImageTensor[] = "style_image";
inline constexpr char kStylizedTensor[] = "stylized";
inline constexpr char kSeedTensor[] = "seed";
inline constexpr char kPatternTensor[] = "pattern";
inline constexpr char kIdentityInput[] = "INPUT0";
inline constexpr char kIdentityOutput[] = "OUTPUT0";

enum class InferenceKind {
  kStylize,   // image → stylized
  kGenerate,  // seed → pattern
  kIdentity,  // INPUT0 → OUTPUT0
};
InferenceKind KindOf(const ModelVersion& model);

struct TensorSpec {
  std::string name;
  inference::DataType type;
  std::vector<std::int64_t> dims;  // without the batch; -1: any
};

struct ModelTensors {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};
ModelTensors TensorsOf(const ModelVersion& model);

// With the batch dimension. `versions`: all of this name.
void Describe(const ModelVersion& model, const std::vector<ModelVersion>& versions,
              inference::ModelMetadataResponse& response);

// Without the batch dimension. `cached`: answers may come from the response cache.
void DescribeConfig(const ModelVersion& model, bool cached, inference::ModelConfig& config);

}  // namespace atelier::server
