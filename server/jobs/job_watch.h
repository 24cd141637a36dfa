// Following a job's events. A watcher is a cursor into the store that is woken when there is more;
// it buffers nothing, so a slow one costs nothing and training never waits for it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "atelier/v1/training.pb.h"
#include "server/store/store.h"

namespace atelier::server {

// Who wants to be woken for which job, and how many may. Thread-safe.
class WatchHub {
 public:
  using Wake = std::function<void()>;

  // Watches at a time.
  struct Limits {
    std::uint32_t all = 1000;
    std::uint32_t client = 200;
  };
  explicit WatchHub(const Limits& limits) : limits_(limits) {}

  // One of them, until it is destroyed.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class WatchHub;
    Place(WatchHub& hub, std::string client) : hub_(hub), client_(std::move(client)) {}

    WatchHub& hub_;
    const std::string client_;
  };
  // RESOURCE_EXHAUSTED with a delay: there are enough, of all clients or of this one.
  absl::StatusOr<std::unique_ptr<Place>> Take(std::string_view client) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends with its destruction. A wake that is already under way may still arrive after it.
  class Subscription {
   public:
    Subscription(WatchHub& hub, std::string job_id, Wake wake);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    WatchHub& hub_;
    const std::string job_id_;
    std::list<std::shared_ptr<Wake>>::iterator place_;
  };

  // Wakes everyone who watches the job. Calls them without holding a lock.
  void Notify(const std::string& job_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Lets all watches end with `status` once they have told all there is, and wakes them. New ones
  // end at once.
  void Close(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // OK until Close.
  absl::Status closed() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const Limits limits_;
  mutable absl::Mutex mutex_;
  std::uint32_t places_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::uint32_t> client_places_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::list<std::shared_ptr<Wake>>> wakes_ ABSL_GUARDED_BY(mutex_);
};

// Not thread-safe; one reader at a time. `hub` and `store` outlive it.
class JobWatch {
 public:
  // What Next found.
  struct Batch {
    std::vector<v1::JobEvent> events;  // in order, without gaps
    // Set: nothing comes after `events`. OK after the final state; UNAVAILABLE when draining;
    // OUT_OF_RANGE when the reader fell so far behind that events are no longer kept; NOT_FOUND
    // when the job was deleted; else an error of the store.
    std::optional<absl::Status> end;
  };

  // `client`: who watches. NOT_FOUND; OUT_OF_RANGE: `from_sequence` is no longer kept or lies in
  // the future; errors of WatchHub::Take.
  static absl::StatusOr<std::unique_ptr<JobWatch>> Open(store::Store& store, WatchHub& hub,
                                                        std::string_view job_id,
                                                        std::uint64_t from_sequence,
                                                        WatchHub::Wake wake,
                                                        std::string_view client);

  // Reads on. Empty and without an end: wait for the next wake. A wake during the call means: call
  // again.
  Batch Next();

 private:
  JobWatch(store::Store& store, WatchHub& hub, std::unique_ptr<WatchHub::Place> place,
           std::string job_id, std::uint64_t cursor, WatchHub::Wake wake);

  store::Store& store_;
  WatchHub& hub_;
  const std::unique_ptr<WatchHub::Place> place_;
  const std::string job_id_;
  std::uint64_t cursor_;  // the next sequence wanted
  const WatchHub::Subscription subscription_;
};

}  // namespace atelier::server
