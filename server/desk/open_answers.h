// Answers that are owed or on their way to their callers: how many there are, what they hold, and
// which were not taken in time. Free of gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/queue/request_queue.h"

namespace atelier::server {

// Thread-safe; nothing blocks but AwaitThoseOpen.
class OpenAnswers {
 public:
  // Counted from its making until its end, which is when nothing of the answer is held any more.
  class Answer {
   public:
    ~Answer();
    Answer(const Answer&) = delete;
    Answer& operator=(const Answer&) = delete;

    // It is on its way. From now on its bytes count as those of pictures that wait do, for all and
    // for its client, and `give_up` is called once, from a thread of the object, if it is still
    // here after QueueLimits::answer_patience: without a lock, perhaps during ~Answer. Once.
    void Sent(std::uint64_t bytes, std::function<void()> give_up);

   private:
    friend class OpenAnswers;
    Answer(OpenAnswers& all, std::uint64_t number, std::string client)
        : all_(all), number_(number), client_(std::move(client)) {}

    OpenAnswers& all_;
    const std::uint64_t number_;  // in open_, from 1 on
    const std::string client_;
    std::optional<std::uint64_t> bytes_;                    // that the queue was told of
    std::pair<absl::Time, std::uint64_t> place_ = {{}, 0};  // in overdue_at_; 0: none, else number_
  };

  // Both outlive the object, and it outlives the answers.
  OpenAnswers(RequestQueue& queue, Clock& clock);
  ~OpenAnswers();

  // `client` as in RequestTraits.
  std::unique_ptr<Answer> Open(std::string client) ABSL_LOCKS_EXCLUDED(mutex_);

  // True when those that are open by now have ended, false when some still are at `until`. It does
  // not wait for later ones, or a stream that goes on sending would never let it end.
  bool AwaitThoseOpen(absl::Time until) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);

  RequestQueue& queue_;
  Clock& clock_;
  absl::Mutex mutex_;
  absl::CondVar oldest_ended_;
  absl::CondVar wake_;  // for the watcher: one is overdue before wakes_at_, or the end
  std::uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 1;
  std::set<std::uint64_t> open_ ABSL_GUARDED_BY(mutex_);  // numbers, which count up
  std::map<std::pair<absl::Time, std::uint64_t>, std::function<void()>> overdue_at_
      ABSL_GUARDED_BY(mutex_);
  absl::Time wakes_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // until when it sleeps
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace atelier::server
