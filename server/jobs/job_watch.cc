#include "server/jobs/job_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/jobs/job_state.h"

namespace atelier::server {
namespace {

// One read from the store: large enough to catch up quickly, small enough to hold for a slow
// reader.
constexpr std::uint32_t kBatchEvents = 64;
constexpr std::uint64_t kBatchBytes = 1 << 20;
// When a watch that found no place may come again.
constexpr absl::Duration kWatchRetry = absl::Seconds(10);

absl::Status NoLongerKept(std::uint64_t wanted, std::uint64_t oldest) {
  return absl::OutOfRangeError("event " + std::to_string(wanted) +
                               " is no longer kept; the oldest is " + std::to_string(oldest));
}

// The first event that is still kept of a job whose newest is `last`.
std::uint64_t OldestKept(std::uint64_t last) {
  return last > store::kKeptEvents ? last - store::kKeptEvents + 1 : 1;
}

}  // namespace

WatchHub::Subscription::Subscription(WatchHub& hub, std::string job_id, Wake wake)
    : hub_(hub), job_id_(std::move(job_id)) {
  const absl::MutexLock lock(&hub_.mutex_);
  auto& wakes = hub_.wakes_[job_id_];
  place_ = wakes.insert(wakes.end(), std::make_shared<Wake>(std::move(wake)));
}

WatchHub::Subscription::~Subscription() {
  const absl::MutexLock lock(&hub_.mutex_);
  const auto wakes = hub_.wakes_.find(job_id_);
  wakes->second.erase(place_);
  if (wakes->second.empty()) {
    hub_.wakes_.erase(wakes);
  }
}

WatchHub::Place::~Place() {
  const absl::MutexLock lock(&hub_.mutex_);
  --hub_.places_;
  const auto found = hub_.client_places_.find(client_);
  if (--found->second == 0) {
    hub_.client_places_.erase(found);
  }
}

absl::StatusOr<std::unique_ptr<WatchHub::Place>> WatchHub::Take(std::string_view client) {
  const absl::MutexLock lock(&mutex_);
  if (places_ >= limits_.all) {
    return RetryLater(kWatchRetry,
                      std::to_string(places_) +
                          " jobs are watched already, which is the most at a time "
                          "(jobs.max_watches); end a watch, or ask with GetJob now and then");
  }
  std::uint32_t& taken = client_places_[std::string(client)];
  if (taken >= limits_.client) {
    return RetryLater(kWatchRetry,
                      "this client (" + std::string(client) + ") watches " + std::to_string(taken) +
                          " jobs already, which is the most at a time (jobs.client_max_watches); "
                          "end a watch, or ask with GetJob now and then");
  }
  ++taken;
  ++places_;
  return std::unique_ptr<Place>(new Place(*this, std::string(client)));
}

void WatchHub::Notify(const std::string& job_id) {
  std::vector<std::shared_ptr<Wake>> wakes;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = wakes_.find(job_id);
    if (found != wakes_.end()) {
      wakes.assign(found->second.begin(), found->second.end());
    }
  }
  for (const std::shared_ptr<Wake>& wake : wakes) {
    (*wake)();
  }
}

void WatchHub::Close(const absl::Status& status) {
  std::vector<std::shared_ptr<Wake>> wakes;
  {
    const absl::MutexLock lock(&mutex_);
    closed_ = status;
    for (const auto& [job_id, list] : wakes_) {
      wakes.insert(wakes.end(), list.begin(), list.end());
    }
  }
  for (const std::shared_ptr<Wake>& wake : wakes) {
    (*wake)();
  }
}

absl::Status WatchHub::closed() const {
  const absl::MutexLock lock(&mutex_);
  return closed_;
}

absl::StatusOr<std::unique_ptr<JobWatch>> JobWatch::Open(store::Store& store, WatchHub& hub,
                                                         std::string_view job_id,
                                                         std::uint64_t from_sequence,
                                                         WatchHub::Wake wake,
                                                         std::string_view client) {
  const std::uint64_t cursor = std::max<std::uint64_t>(from_sequence, 1);
  std::uint64_t last = 0;
  ATELIER_RETURN_IF_ERROR(store.Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const store::JobRecord record, reader.GetJob(job_id));
    last = record.job.last_sequence();
    return absl::OkStatus();
  }));
  if (cursor > last + 1) {
    return absl::OutOfRangeError("event " + std::to_string(cursor) +
                                 " lies in the future; the newest is " + std::to_string(last));
  }
  if (cursor < OldestKept(last)) {
    return NoLongerKept(cursor, OldestKept(last));
  }
  ATELIER_ASSIGN_OR_RETURN(std::unique_ptr<WatchHub::Place> place, hub.Take(client));
  return std::unique_ptr<JobWatch>(
      new JobWatch(store, hub, std::move(place), std::string(job_id), cursor, std::move(wake)));
}

JobWatch::JobWatch(store::Store& store, WatchHub& hub, std::unique_ptr<WatchHub::Place> place,
                   std::string job_id, std::uint64_t cursor, WatchHub::Wake wake)
    : store_(store),
      hub_(hub),
      place_(std::move(place)),
      job_id_(job_id),
      cursor_(cursor),
      subscription_(hub, std::move(job_id), std::move(wake)) {}

JobWatch::Batch JobWatch::Next() {
  Batch batch;
  // Asked before reading: what was stored before the hub closed is told first.
  const absl::Status closed = hub_.closed();
  v1::Job job;
  const absl::Status read = store_.Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(store::JobRecord record, reader.GetJob(job_id_));
    job = std::move(record.job);
    ATELIER_ASSIGN_OR_RETURN(batch.events,
                             reader.ListEvents(job_id_, cursor_, kBatchEvents, kBatchBytes));
    return absl::OkStatus();
  });
  if (!read.ok()) {
    batch.events.clear();
    batch.end = read;
    return batch;
  }
  if (!batch.events.empty() && batch.events.front().sequence() != cursor_) {
    batch.end = NoLongerKept(cursor_, batch.events.front().sequence());
    batch.events.clear();
    return batch;
  }
  cursor_ += batch.events.size();
  if (cursor_ > job.last_sequence()) {
    if (IsFinal(job.state())) {
      batch.end = absl::OkStatus();
    } else if (!closed.ok()) {
      batch.end = closed;
    }
  }
  return batch;
}

}  // namespace atelier::server
