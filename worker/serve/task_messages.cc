#include "worker/serve/task_messages.h"

#include <utility>

#include "common/errors.h"
#include "common/rpc/picture_enums.h"

namespace atelier::worker {
namespace {

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
    result.set_model_failed(facts.model_failed);
    return false;
  }
  result.set_precision(atelier::ToProto(facts.precision));
  return true;
}

}  // namespace

StylizeTask ToStylizeTask(internal::v1::StylizeTask message, absl::Time now) {
  StylizeTask task;
  task.request_id = std::move(*message.mutable_request_id());
  task.model = ToModelSource(message.model());
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
  // A value of a later contract stays what it is, and is refused where pictures are decoded.
  task.layout = static_cast<PixelLayout>(message.layout());
  task.width = message.width();
  task.height = message.height();
  task.deterministic = message.deterministic();
  return task;
}

internal::v1::StylizeResult ToStylizeResult(std::uint64_t task_id, StylizeOutcome outcome) {
  internal::v1::StylizeResult result;
  result.set_decode_s(absl::ToDoubleSeconds(outcome.decode));
  if (!FillFacts(task_id, outcome, result)) {
    return result;
  }
  result.set_image(std::move(outcome.image));
  result.set_layout(static_cast<internal::v1::PixelLayout>(outcome.layout));
  if (outcome.layout == PixelLayout::kEncoded) {
    result.set_format(atelier::ToProto(outcome.format));
  }
  result.set_batch_size(outcome.batch_size);
  result.set_width(static_cast<std::uint32_t>(outcome.width));
  result.set_height(static_cast<std::uint32_t>(outcome.height));
  return result;
}

GenerateTask ToGenerateTask(const internal::v1::GenerateTask& message, absl::Time now) {
  GenerateTask task;
  task.request_id = message.request_id();
  task.model = ToModelSource(message.model());
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
  result.set_format(atelier::ToProto(outcome.format));
  for (GeneratedPicture& picture : outcome.pictures) {
    internal::v1::GeneratedPicture& made = *result.add_pictures();
    made.set_image(std::move(picture.image));
    made.set_width(static_cast<std::uint32_t>(picture.width));
    made.set_height(static_cast<std::uint32_t>(picture.height));
  }
  return result;
}

IdentityTask ToIdentityTask(internal::v1::IdentityTask message, absl::Time now) {
  IdentityTask task;
  task.payload = std::move(*message.mutable_payload());
  task.deadline = now + absl::Milliseconds(message.deadline_ms());
  return task;
}

internal::v1::IdentityResult ToIdentityResult(std::uint64_t task_id, IdentityOutcome outcome) {
  internal::v1::IdentityResult result;
  result.set_task_id(task_id);
  if (!outcome.status.ok()) {
    result.set_code(static_cast<std::uint32_t>(outcome.status.code()));
    result.set_message(std::string(outcome.status.message()));
    return result;
  }
  result.set_payload(std::move(outcome.payload));
  return result;
}

ModelSource ToModelSource(const internal::v1::ModelSource& message) {
  return {.name = message.name(),
          .version = message.version(),
          .directory = message.directory(),
          .weights_sha256 = message.weights_sha256(),
          .batch_max_size = message.batch_max_size(),
          .batch_max_delay = absl::Microseconds(message.batch_max_delay_us())};
}

internal::v1::ModelSource ToProto(const ModelSource& source) {
  internal::v1::ModelSource message;
  message.set_name(source.name);
  message.set_version(source.version);
  message.set_weights_sha256(source.weights_sha256);
  return message;
}

internal::v1::ModelState ToModelState(const ModelEvent& event) {
  internal::v1::ModelState state;
  *state.mutable_model() = ToProto(event.model);
  state.set_order(event.order);
  switch (event.state) {
    case ModelEvent::State::kReady:
      state.set_state(internal::v1::ModelState::STATE_READY);
      state.set_bytes(event.bytes);
      break;
    case ModelEvent::State::kFailed:
      state.set_state(internal::v1::ModelState::STATE_FAILED);
      state.set_code(static_cast<std::uint32_t>(event.status.code()));
      state.set_message(std::string(event.status.message()));
      break;
    case ModelEvent::State::kUnloaded:
      state.set_state(internal::v1::ModelState::STATE_UNLOADED);
      break;
  }
  return state;
}

}  // namespace atelier::worker
