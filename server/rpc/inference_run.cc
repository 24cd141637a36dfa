#include "server/rpc/inference_run.h"

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "server/inference/inference_answer.h"
#include "server/rpc/message_bytes.h"
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

absl::StatusOr<Inference> InferenceRun::Admit(const grpc::CallbackServerContext& context,
                                              grpc::ByteBuffer& message, WorkTerms& terms,
                                              inference::ModelInferResponse& response) const {
  const absl::Time now = room_.clock.Now();
  inference::ModelInferRequest request;
  ATELIER_RETURN_IF_ERROR(ReadMessage(message, request));
  response.set_model_name(request.model_name());
  response.set_id(request.id());
  ATELIER_ASSIGN_OR_RETURN(Inference inference, room_.admission.Admit(request));
  Announce(inference, request, response);
  terms = TermsOfCall(context, inference.terms, now);
  ATELIER_RETURN_IF_ERROR(room_.desk.CheckTogether(inference.works, terms));
  return inference;
}

void InferenceRun::Start(const grpc::CallbackServerContext& context, grpc::ByteBuffer& message,
                         inference::ModelInferResponse& response, Done done) {
  WorkTerms terms;
  absl::StatusOr<Inference> inference = Admit(context, message, terms, response);
  if (!inference.ok()) {
    room_.probe.Refused(inference.status());
    room_.probe.Answered(inference.status().code());
    return std::move(done)(inference.status());
  }
  answer_ = room_.desk.answers().Open(terms.client);
  std::vector<Work> works = std::move(inference->works);
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

void InferenceRun::AnswerIsSent(std::uint64_t bytes, std::function<void()> give_up) {
  answer_->Sent(bytes, std::move(give_up));
}

void InferenceRun::Awaited() {
  std::shared_ptr<JoinedWork> joined;
  {
    const absl::MutexLock lock(&mutex_);
    joined = joined_;
  }
  if (joined != nullptr) {
    joined->Awaited();
  }
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
