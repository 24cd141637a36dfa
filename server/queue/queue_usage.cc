#include "server/queue/queue_usage.h"

#include "common/check.h"

namespace atelier::server {
namespace {

bool FitsBytes(std::uint64_t used, std::uint64_t more, std::uint64_t limit) {
  return used == 0 || (used <= limit && more <= limit - used);
}

std::size_t MaxWaitingOfModel(const QueueLimits& limits, const std::string& model) {
  if (auto exact = limits.max_waiting_of_model.find(model);
      exact != limits.max_waiting_of_model.end()) {
    return exact->second;
  }
  const auto named = limits.max_waiting_of_model.find(model.substr(0, model.find('@')));
  return named != limits.max_waiting_of_model.end()
             ? named->second
             : limits.per_model.max_waiting.value_or(limits.max_waiting);
}

}  // namespace

std::optional<Rejection> QueueUsage::Exceeded(const QueueLimits& limits,
                                              const RequestTraits& traits,
                                              std::uint64_t bytes) const {
  if (server_.waiting >= limits.max_waiting) {
    return Rejection::kQueueFull;
  }
  if (!FitsBytes(server_.bytes, bytes, limits.max_bytes)) {
    return Rejection::kBytesFull;
  }
  const Use& model = Find(models_, traits.model);
  if (model.waiting >= MaxWaitingOfModel(limits, traits.model) ||
      !FitsBytes(model.bytes, bytes, limits.per_model.max_bytes.value_or(limits.max_bytes))) {
    return Rejection::kModelFull;
  }
  const Use& client = Find(clients_, traits.client);
  if (client.waiting >= limits.per_client.max_waiting.value_or(limits.max_waiting) ||
      !FitsBytes(client.bytes, bytes, limits.per_client.max_bytes.value_or(limits.max_bytes))) {
    return Rejection::kClientFull;
  }
  return std::nullopt;
}

std::optional<Rejection> QueueUsage::ExceededByAll(const QueueLimits& limits,
                                                   const RequestTraits& traits,
                                                   std::size_t requests, std::uint64_t bytes) {
  // The last of them, when the others wait.
  const Use others{
      .held = requests - 1, .waiting = requests - 1, .bytes = requests > 1 ? bytes : 0};
  QueueUsage usage;
  usage.server_ = others;
  usage.models_.emplace(traits.model, others);
  usage.clients_.emplace(traits.client, others);
  return usage.Exceeded(limits, traits, 0);
}

void QueueUsage::Hold(const RequestTraits& traits, std::uint64_t bytes) {
  for (Use* use : {&server_, &models_[traits.model], &clients_[traits.client]}) {
    ++use->held;
    use->bytes += bytes;
  }
}

void QueueUsage::Release(const RequestTraits& traits, std::uint64_t bytes) {
  ATELIER_CHECK(server_.held > 0 && server_.bytes >= bytes);
  --server_.held;
  server_.bytes -= bytes;
  Release(models_, traits.model, bytes);
  Release(clients_, traits.client, bytes);
}

void QueueUsage::HoldAnswer(const std::string& client, std::uint64_t bytes) {
  answer_bytes_ += bytes;
  for (Use* use : {&server_, &clients_[client]}) {
    ++use->held;
    use->bytes += bytes;
  }
}

void QueueUsage::ReleaseAnswer(const std::string& client, std::uint64_t bytes) {
  ATELIER_CHECK(server_.held > 0 && server_.bytes >= bytes && answer_bytes_ >= bytes);
  answer_bytes_ -= bytes;
  --server_.held;
  server_.bytes -= bytes;
  Release(clients_, client, bytes);
}

void QueueUsage::Release(UseByName& uses, const std::string& name, std::uint64_t bytes) {
  auto use = uses.find(name);
  ATELIER_CHECK(use != uses.end() && use->second.bytes >= bytes);
  use->second.bytes -= bytes;
  if (--use->second.held == 0) {
    ATELIER_CHECK(use->second.waiting == 0 && use->second.bytes == 0);
    uses.erase(use);
  }
}

void QueueUsage::BeginWaiting(const RequestTraits& traits) {
  ++server_.waiting;
  ++models_.at(traits.model).waiting;
  ++clients_.at(traits.client).waiting;
  ++by_priority_.at(static_cast<std::size_t>(traits.priority));
}

void QueueUsage::EndWaiting(const RequestTraits& traits) {
  ATELIER_CHECK(server_.waiting > 0);
  --server_.waiting;
  --models_.at(traits.model).waiting;
  --clients_.at(traits.client).waiting;
  --by_priority_.at(static_cast<std::size_t>(traits.priority));
}

const QueueUsage::Use& QueueUsage::Find(const UseByName& uses, const std::string& name) {
  static const Use none;
  const auto use = uses.find(name);
  return use == uses.end() ? none : use->second;
}

}  // namespace atelier::server
