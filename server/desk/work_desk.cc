#include "server/desk/work_desk.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "common/errors.h"
#include "server/models/identity_model.h"

namespace atelier::server {
namespace {

// Work that is cancelled this close to its deadline was cancelled by it: the caller's clock is a
// little ahead, by the time that the request was on its way.
constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(250);

// After which whoever was refused for want of memory in a worker may try again.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

std::pair<std::string, std::uint32_t> VersionOf(const IdentityWork& /*work*/) {
  return {kIdentityModel, kIdentityVersion};
}

template <typename SomeWork>
std::pair<std::string, std::uint32_t> VersionOf(const SomeWork& work) {
  return {work.model.name, work.model.version};
}

}  // namespace

// What is remembered of a piece of work until its answer.
struct WorkDesk::Pending {
  std::string name;
  std::uint32_t version = 0;
  std::string request_id;
  std::size_t pictures = 1;
  std::uint64_t fingerprint = 0;
  std::shared_ptr<const Work> to_keep;  // null: its answer is not to be kept
  absl::Time deadline;
  absl::Time accepted_at;
  Done done;
};

void WorkDesk::Submit(RequestId id, Work work, const WorkTerms& terms, Done done) {
  const auto pending = std::make_shared<Pending>();
  std::tie(pending->name, pending->version) =
      std::visit([](const auto& of_kind) { return VersionOf(of_kind); }, work);
  pending->request_id = RequestIdOf(work);
  pending->pictures = PicturesOf(work);
  pending->deadline = terms.deadline;
  pending->accepted_at = clock_.Now();
  pending->done = std::move(done);
  RequestTraits traits = TraitsOf(work, terms);
  pending->fingerprint = traits.fingerprint;
  if (AnswerFromCache(work, *pending)) {
    return;
  }
  const bool keep = cache_.enabled() && std::holds_alternative<StylizeWork>(work);
  auto request =
      std::make_unique<Request>(id, std::move(work), std::move(traits), terms.deadline,
                                [this, pending](absl::StatusOr<Outcome> outcome) {
                                  Finish(*pending, std::move(outcome), WorkAnswer::From::kWorker);
                                });
  if (keep) {
    pending->to_keep = request->work();
  }
  if (absl::Status status = queue_.Enqueue(request); !status.ok()) {
    Finish(*pending, std::move(status), WorkAnswer::From::kRefusal);
  }
}

absl::Status WorkDesk::CheckTogether(const std::vector<Work>& works, const WorkTerms& terms) const {
  if (works.size() < 2) {
    return absl::OkStatus();  // alone it is Submit's to judge
  }
  std::uint64_t bytes = 0;
  for (const Work& work : works) {
    bytes += BytesOf(work);
  }
  return queue_.CheckTogether({.model = ModelOf(works.front()), .client = terms.client},
                              works.size(), bytes);
}

bool WorkDesk::AnswerFromCache(const Work& work, Pending& pending) {
  const auto* stylize = std::get_if<StylizeWork>(&work);
  if (stylize == nullptr || !cache_.enabled()) {
    return false;
  }
  std::optional<StylizeOutcome> kept = cache_.Find(pending.fingerprint, *stylize);
  if (!kept.has_value()) {
    statistics_.CacheMissed(pending.name, pending.version, clock_.Now() - pending.accepted_at);
    return false;
  }
  Finish(pending, Outcome(*std::move(kept)), WorkAnswer::From::kCache);
  return true;
}

void WorkDesk::Finish(Pending& pending, absl::StatusOr<Outcome> outcome, WorkAnswer::From from) {
  const absl::Time now = clock_.Now();
  if (absl::IsResourceExhausted(outcome.status()) && !RetryDelayOf(outcome.status()).has_value()) {
    // A worker that has no memory, which tells no delay: clients try this code again as they are
    // told, or at once.
    outcome = RetryLater(kRetryDelay, std::string(outcome.status().message()));
  }
  WorkAnswer answer{
      .outcome = std::move(outcome), .from = from, .total = now - pending.accepted_at};
  Record(pending, answer, now);
  if (answer.outcome.ok() && from == WorkAnswer::From::kWorker && pending.to_keep != nullptr) {
    cache_.Keep(pending.fingerprint, std::move(pending.to_keep),
                std::get<StylizeOutcome>(*answer.outcome));
  }
  pending.to_keep.reset();
  std::move(pending.done)(std::move(answer));
}

void WorkDesk::Record(const Pending& pending, const WorkAnswer& answer, absl::Time now) {
  const absl::Status& status = answer.outcome.status();
  if (!status.ok()) {
    statistics_.Failed(pending.name, pending.version, answer.total);
    const bool given_up = absl::IsCancelled(status) && now + kDeadlineSlack < pending.deadline;
    if (answer.from == WorkAnswer::From::kWorker && !given_up) {
      spdlog::warn("request {} for {}@{} ended {} after {:.3f} s: {}", pending.request_id,
                   pending.name, pending.version, absl::StatusCodeToString(status.code()),
                   absl::ToDoubleSeconds(answer.total), std::string(status.message()));
    }
    return;
  }
  if (recent_ != nullptr && pending.name != kIdentityModel) {
    recent_->Note(pending.request_id, pending.name, pending.version);
  }
  if (answer.from == WorkAnswer::From::kCache) {
    statistics_.ServedFromCache(pending.name, pending.version, answer.total, now);
    return;
  }
  const OutcomeFacts& facts = FactsOf(*answer.outcome);
  statistics_.Served(pending.name, pending.version,
                     {.pictures = pending.pictures,
                      .batch_size = facts.batch_size,
                      .queue = absl::Seconds(facts.queue_s),
                      .decode = absl::Seconds(facts.decode_s),
                      .compute = absl::Seconds(facts.compute_s),
                      .encode = absl::Seconds(facts.encode_s),
                      .total = answer.total},
                     now);
}

}  // namespace atelier::server
