#include "worker/train/train_step.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/feature_network.h"
#include "worker/train/cut.h"
#include "worker/train/cyclegan.h"
#include "worker/train/distil.h"
#include "worker/train/faststyle.h"
#include "worker/train/gatys.h"
#include "worker/train/multistyle.h"
#include "worker/train/pattern.h"
#include "worker/train/pix2pix.h"
#include "worker/train/quantize.h"
#include "worker/train/reference.h"
#include "worker/train/vaegan.h"
#include "worker/train/vaegan_pictures.h"

namespace atelier::train {
namespace {

BatchKind Content(const TrainConfig&) { return BatchKind::kContent; }
BatchKind Nothing(const TrainConfig&) { return BatchKind::kNone; }
BatchKind Unpaired(const TrainConfig&) { return BatchKind::kUnpaired; }
BatchKind Pairs(const TrainConfig& config) {
  return config.pix2pix.edges ? BatchKind::kEdges : BatchKind::kSideBySide;
}

// The families that can be trained; common/family.h has what the server knows of them.
constexpr StepRow kSteps[] = {
    {"faststyle", Content, MakeFaststyleStep},
    {"multistyle", Content, MakeMultistyleStep},
    {"reference", Unpaired, MakeReferenceStep},
    {"gatys", Nothing, MakeGatysStep},
    {"cyclegan", Unpaired, MakeCycleganStep},
    {"cut", Unpaired, MakeCutStep},
    {"pix2pix", Pairs, MakePix2pixStep},
    {"dcgan", Content, MakePatternStep},
    {"wgan", Content, MakePatternStep},
    {"cgan", Content, MakePatternStep},
    {"vaegan", Content, MakeVaeganStep},
    {"vaegan-pictures", Unpaired, MakeVaeganPicturesStep},
    // Compressions, which are no families.
    {"distil", Content, MakeDistilStep},
    {"prune", Content, MakePruneStep},
    {"quantize", Content, MakeQuantizeStep, /*cpu_only=*/true},  // the operators of int8 are
};

}  // namespace

TensorMap TrainStep::State() {
  TensorMap state;
  for (const Saved* part : parts()) {
    part->Save(state);
  }
  return state;
}

absl::Status TrainStep::LoadState(const TensorMap& state) {
  for (Saved* part : parts()) {
    ATELIER_RETURN_IF_ERROR(part->Load(state));
  }
  return absl::OkStatus();
}

bool TrainStep::TakeSkipped() {
  bool skipped = false;
  for (Saved* part : parts()) {
    skipped = part->TakeSkipped() || skipped;
  }
  return skipped;
}

std::vector<NamedNetwork> TrainStep::Networks() {
  std::vector<NamedNetwork> networks;
  for (Saved* part : parts()) {
    for (NamedNetwork& network : part->Networks()) {
      networks.push_back(std::move(network));
    }
  }
  return networks;
}

void TrainStep::MoveTo(const torch::Device& device) {
  for (const NamedNetwork& network : Networks()) {
    network.network->to(device);
  }
}

void TrainStep::Join(ranks::RankGroup& group) {
  for (Saved* part : parts()) {
    part->Join(group);
  }
}

absl::StatusOr<std::shared_ptr<nn::EfficientNetLite>> StepInputs::LoadFeatureNetwork() const {
  ATELIER_ASSIGN_OR_RETURN(auto network, models::LoadEfficientNetLite(0, feature_weights));
  network->to(device);
  return network;
}

absl::StatusOr<std::unique_ptr<TrainStep>> MakeStep(const StepRow& row, const StepInputs& inputs) {
  ATELIER_ASSIGN_OR_RETURN(auto step, row.make(inputs));
  step->MoveTo(inputs.device);
  if (inputs.group != nullptr) {
    step->Join(*inputs.group);
  }
  return step;
}

absl::StatusOr<const StepRow*> FindStepRow(std::string_view family) {
  for (const StepRow& row : kSteps) {
    if (row.family == family) {
      return &row;
    }
  }
  return absl::UnimplementedError("this build cannot train the family " + std::string(family));
}

}  // namespace atelier::train
