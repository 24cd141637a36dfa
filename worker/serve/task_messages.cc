#include "worker/serve/task_messages.h"

#include <utility>

#include "common/errors.h"
#include "common/rpc/picture_enums.h"

namespace atelier::worker {
namespace {

ModelSource SourceOf(const internal::v1::ModelSource& source) {
  return {.name = source.name(),
          .version = source.version(),
          .directory = source.directory(),
          .weights_sha256 = source.weights_sha256()};
}

// What results of both kinds tell. False: there are no pictures to tell of.
template <typename Result>
bool FillFacts(std::uint64_t task_id, OutcomeFacts& facts, Result& result) {
  result.set_task_id(task_id);
  result.set_load_s(absl::ToDoubleSeconds(facts.load));
  result.set_compute_s(absl::ToDoubleSeconds(facts.compute));
  result.set_encode_s(absl::ToDoubleSeconds(facts.encode));
  for (std::string& warning : facts.warnings) {
    result.add_warnings(std::move(warning));
  }
  if (!facts.status.ok()) {
    result.set_code(static_cast<std::uint32_t>(facts.status.code()));
    result.set_message(std::string(facts.status.message()));
    result.set_field(FieldOf(facts.status).value_or(""));
    return false;
  }
  result.set_precision(ToProto(facts.precision));
  return true;
}

}  // namespace

StylizeTask ToStylizeTask(internal::v1::StylizeTask message, absl::Time now) {
  StylizeTask task;
  task.request_id = std::move(*message.mutable_request_id());
  task.model = SourceOf(message.model());
  task.image = std::move(*message.mutable_image());
  task.deadline = now + absl::Milliseconds(message.deadline_ms());
  task.strength = message.strength();
  task.preserve_color = message.preserve_color();
  task.size = message.size();
  task.format = FromProto(message.format());
  task.quality = static_cast<int>(message.quality());
  task.precision = FromProto(message.precision());
  for (v1::StyleShare& share : *message.mutable_mix()) {
    task.mix.push_back({.label = std::move(*share.mutable_label()), .weight = share.weight()});
  }
  task.style_image = std::move(*message.mutable_style_image());
  return task;
}

internal::v1::StylizeResult ToStylizeResult(std::uint64_t task_id, StylizeOutcome outcome) {
  internal::v1::StylizeResult result;
  result.set_decode_s(absl::ToDoubleSeconds(outcome.decode));
  if (!FillFacts(task_id, outcome, result)) {
    return result;
  }
  result.set_image(std::move(outcome.image));
  result.set_format(ToProto(outcome.format));
  result.set_width(static_cast<std::uint32_t>(outcome.width));
  result.set_height(static_cast<std::uint32_t>(outcome.height));
  return result;
}

GenerateTask ToGenerateTask(const internal::v1::GenerateTask& message, absl::Time now) {
  GenerateTask task;
  task.request_id = message.request_id();
  task.model = SourceOf(message.model());
  task.deadline = now + absl::Milliseconds(message.deadline_ms());
  task.seeds.assign(message.seeds().begin(), message.seeds().end());
  if (message.has_interpolate_to()) {
    task.interpolate_to = message.interpolate_to();
  }
  task.truncation = message.truncation();
  task.labels.assign(message.labels().begin(), message.labels().end());
  task.words.assign(message.words().begin(), message.words().end());
  task.size = message.size();
  task.format = FromProto(message.format()).value_or(ImageFormat::kPng);
  task.quality = static_cast<int>(message.quality());
  task.precision = FromProto(message.precision());
  return task;
}

internal::v1::GenerateResult ToGenerateResult(std::uint64_t task_id, GenerateOutcome outcome) {
  internal::v1::GenerateResult result;
  if (!FillFacts(task_id, outcome, result)) {
    return result;
  }
  result.set_format(ToProto(outcome.format));
  for (GeneratedPicture& picture : outcome.pictures) {
    internal::v1::GeneratedPicture& made = *result.add_pictures();
    made.set_image(std::move(picture.image));
    made.set_width(static_cast<std::uint32_t>(picture.width));
    made.set_height(static_cast<std::uint32_t>(picture.height));
  }
  return result;
}

}  // namespace atelier::worker
