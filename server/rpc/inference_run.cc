#include "server/rpc/inference_run.h"

#include <utility>
#include <vector>

#include "server/inference/inference_answer.h"
#include "server/rpc/queued_call.h"

namespace atelier::server {
namespace {

// Counts what became of it and fills the response.
absl::Status End(const InferenceRoom& room, const Inference& inference,
                 absl::StatusOr<std::vector<WorkAnswer>> answers,
                 inference::ModelInferResponse& response) {
  if (!answers.ok()) {
    return answers.status();
  }
  for (const WorkAnswer& answer : *answers) {
    if (answer.from == WorkAnswer::From::kCache) {
      room.probe.DoneFromCache(answer.total);
    } else {
      room.probe.Done(FactsOf(*answer.outcome), answer.total);
    }
  }
  return FillAnswer(inference, *std::move(answers), response);
}

}  // namespace

void InferenceRun::Start(const grpc::CallbackServerContext& context,
                         const inference::ModelInferRequest& request,
                         inference::ModelInferResponse& response, Done done) {
  const absl::Time now = room_.clock.Now();
  absl::StatusOr<Inference> inference = room_.admission.Admit(request);
  if (!inference.ok()) {
    room_.probe.Refused(inference.status());
    room_.probe.Answered(inference.status().code());
    return std::move(done)(inference.status());
  }
  Announce(*inference, request, response);
  std::vector<Work> works = std::move(inference->works);
  const WorkTerms terms = TermsOfCall(context, inference->terms, now);
  auto joined = JoinedWork::Create(
      room_.desk, works.size(),
      [&room = room_, inference = *std::move(inference), &response,
       done = std::move(done)](absl::StatusOr<std::vector<WorkAnswer>> answers) mutable {
        const absl::Status status = End(room, inference, std::move(answers), response);
        room.probe.Answered(status.code());
        std::move(done)(status);
      });
  bool cancelled = false;
  {
    const absl::MutexLock lock(&mutex_);
    joined_ = joined;
    cancelled = cancelled_;
  }
  if (cancelled) {
    joined->Cancel();
  }
  joined->Start(std::move(works), terms);
}

void InferenceRun::Cancel() {
  std::shared_ptr<JoinedWork> joined;
  {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    joined = joined_;
  }
  if (joined != nullptr) {
    joined->Cancel();
  }
}

}  // namespace atelier::server
