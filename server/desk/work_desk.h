// The one way of all public calls from admitted work to its answer: the response cache, the queue,
// and what is told of it afterwards (the model's figures, the log). Free of gRPC.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/cache/response_cache.h"
#include "server/desk/open_answers.h"
#include "server/desk/work_traits.h"
#include "server/feedback/recent_requests.h"
#include "server/models/model_statistics.h"
#include "server/queue/request_queue.h"

namespace atelier::server {

struct WorkAnswer {
  enum class From {
    kWorker,  // or accepted and given up since
    kCache,
    kRefusal,  // the queue did not take it
  };

  absl::StatusOr<Outcome> outcome;
  From from = From::kWorker;
  absl::Duration total;  // since Submit
};

// Thread-safe, never blocks. Accepted work that does not end well is a line in the log, but for
// what its caller gave up before the deadline.
class WorkDesk {
 public:
  // All outlive the desk and every answer that it owes. `recent` is told which version answered
  // which request; may be null.
  WorkDesk(RequestQueue& queue, ResponseCache& cache, ModelStatisticsTable& statistics,
           Clock& clock, RecentRequests* recent = nullptr)
      : queue_(queue),
        cache_(cache),
        statistics_(statistics),
        clock_(clock),
        recent_(recent),
        answers_(queue, clock) {}

  // Called once, on any thread, also before Submit returns. Must not block.
  using Done = absl::AnyInvocable<void(WorkAnswer) &&>;

  // The name of a submission to come.
  RequestId NextId() { return queue_.NextId(); }

  // Errors that the answer may have: those of RequestQueue and of the worker.
  void Submit(RequestId id, Work work, const WorkTerms& terms, Done done);

  // OUT_OF_RANGE when `works`, of one model, are more than may ever wait together: see
  // RequestQueue.
  absl::Status CheckTogether(const std::vector<Work>& works, const WorkTerms& terms) const;

  // The answer is CANCELLED then, unless it was given already. No effect before Submit: whoever may
  // cancel meanwhile asks once more after Submit.
  void Cancel(RequestId id) { queue_.Cancel(id); }

  // Answers that are ready cannot be taken before this submission's: see RequestQueue::Awaited.
  void Awaited(RequestId id) { queue_.Awaited(id); }

  // What becomes of answers after `Done`: whoever submits opens one before, and ends it when
  // nothing of the answer is left to send.
  OpenAnswers& answers() { return answers_; }

 private:
  struct Pending;

  bool AnswerFromCache(const Work& work, Pending& pending);
  void Finish(Pending& pending, absl::StatusOr<Outcome> outcome, WorkAnswer::From from);
  void Record(const Pending& pending, const WorkAnswer& answer, absl::Time now);

  RequestQueue& queue_;
  ResponseCache& cache_;
  ModelStatisticsTable& statistics_;
  Clock& clock_;
  RecentRequests* const recent_;
  OpenAnswers answers_;
};

}  // namespace atelier::server
