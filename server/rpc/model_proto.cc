#include "server/rpc/model_proto.h"

#include <cstdint>
#include <string>
#include <utility>

#include "common/errors.h"
#include "common/files.h"
#include "common/rpc/picture_enums.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

constexpr std::uint64_t kMaxCardBytes = 1 << 20;

}  // namespace

void ToProto(const ModelVersion& model, v1::Model& proto) {
  proto.set_name(model.name);
  proto.set_version(model.version);
  for (const std::string& label : model.labels) {
    proto.add_labels(label);
  }
  proto.set_family(model.family);
  proto.set_tier(model.tier);
  for (const std::string& capability : model.capabilities) {
    proto.add_capabilities(capability);
  }
  proto.mutable_classes()->Assign(model.classes.begin(), model.classes.end());
  proto.mutable_vocabulary()->Assign(model.vocabulary.begin(), model.vocabulary.end());
  proto.set_parameters(model.parameters);
  proto.set_default_precision(ToProto(model.default_precision));
  proto.set_weights_sha256(model.weights_sha256);
  proto.set_weights_bytes(model.weights_bytes);
  proto.set_shipped(model.shipped);
  proto.set_job_id(model.job_id);
  proto.set_job_step(model.job_step);
  proto.set_traffic(model.traffic);
  proto.set_kept(model.kept);
  if (model.create_time != absl::InfinitePast()) {
    *proto.mutable_create_time() = TimeToProto(model.create_time);
  }
}

void AddCard(const ModelVersion& model, v1::Model& proto) {
  absl::StatusOr<std::string> card = ReadFile(model.directory / "card.md", kMaxCardBytes);
  if (card.ok()) {
    proto.set_card(*std::move(card));
  }
}

absl::StatusOr<WeightsFormat> FromProto(v1::WeightsFormat format) {
  switch (format) {
    case v1::WEIGHTS_FORMAT_SAFETENSORS:
      return WeightsFormat::kSafetensors;
    case v1::WEIGHTS_FORMAT_PTH:
      return WeightsFormat::kTorchPickle;
    case v1::WEIGHTS_FORMAT_TORCHSCRIPT:
      return WeightsFormat::kTorchScript;
    default:
      return InvalidField("format", "must be SAFETENSORS, PTH or TORCHSCRIPT");
  }
}

}  // namespace atelier::server
