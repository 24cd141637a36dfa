#include "server/dispatch/link/model_codec.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "server/dispatch/link/sentences.h"

namespace atelier::server {
namespace {

// Unit: pixels.
constexpr std::uint32_t kDefaultWarmup = 256;

bool MakesSense(const internal::v1::ModelSource& source) {
  return CheckName("name", source.name()).ok() && source.version() > 0 &&
         IsSha256Hex(source.weights_sha256());
}

ModelKey ToKey(const internal::v1::ModelSource& source) {
  return {.name = source.name(),
          .version = source.version(),
          .weights_sha256 = source.weights_sha256()};
}

absl::Status NonsenseOfModel(const char* what) {
  return absl::FailedPreconditionError(
      absl::StrCat("What the worker tells of a model makes no sense: ", what));
}

void FillLoad(const LoadOrder& order, internal::v1::LoadModel& load) {
  const ModelVersion& model = order.model;
  FillSource(model, *load.mutable_model());
  load.set_order(order.number);
  load.mutable_warmup_sizes()->Assign(model.warmup_sizes.begin(), model.warmup_sizes.end());
  if (model.warmup_sizes.empty()) {
    load.add_warmup_sizes(kDefaultWarmup);
  }
}

}  // namespace

void FillSource(const ModelVersion& model, internal::v1::ModelSource& source) {
  source.set_name(model.name);
  source.set_version(model.version);
  source.set_directory(model.directory.string());
  source.set_weights_sha256(model.weights_sha256);
  source.set_batch_max_size(model.batch_max_size);
  source.set_batch_max_delay_us(
      static_cast<std::uint32_t>(absl::ToInt64Microseconds(model.batch_max_delay)));
}

internal::v1::ServerMessage LoadMessage(const LoadOrder& order) {
  internal::v1::ServerMessage message;
  FillLoad(order, *message.mutable_load_model());
  return message;
}

internal::v1::ServerMessage UnloadMessage(const ModelVersion& model) {
  internal::v1::ServerMessage message;
  FillSource(model, *message.mutable_unload_model()->mutable_model());
  return message;
}

void AddPreload(const std::vector<LoadOrder>& orders, internal::v1::Welcome& welcome) {
  for (const LoadOrder& order : orders) {
    FillLoad(order, *welcome.add_preload());
  }
}

absl::StatusOr<ModelReport> ReportOf(const internal::v1::ModelState& state) {
  if (!MakesSense(state.model())) {
    return NonsenseOfModel("no model can be called that");
  }
  ModelReport report;
  report.model = ToKey(state.model());
  report.order = state.order();
  switch (state.state()) {
    case internal::v1::ModelState::STATE_READY:
      report.state = ModelReport::State::kReady;
      return report;
    case internal::v1::ModelState::STATE_UNLOADED:
      report.state = ModelReport::State::kUnloaded;
      return report;
    case internal::v1::ModelState::STATE_FAILED:
      if (state.code() == 0 || state.code() > kHighestCode) {
        return NonsenseOfModel("an unknown code");
      }
      report.state = ModelReport::State::kFailed;
      report.failure = {static_cast<absl::StatusCode>(state.code()),
                        BoundedSentence(state.message())};
      return report;
    default:
      return NonsenseOfModel("an unknown state");
  }
}

absl::StatusOr<std::vector<ModelKey>> LoadedOf(const internal::v1::Hello& hello) {
  if (hello.loaded_size() > static_cast<int>(ModelLoader::kMaxModels)) {
    return InvalidField("loaded", absl::StrCat("must be at most ", ModelLoader::kMaxModels));
  }
  std::vector<ModelKey> keys;
  for (const internal::v1::ModelSource& source : hello.loaded()) {
    if (!MakesSense(source)) {
      return InvalidField("loaded", "must be names, versions and checksums of models");
    }
    keys.push_back(ToKey(source));
  }
  return keys;
}

}  // namespace atelier::server
