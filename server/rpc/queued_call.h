// What the calls have in common whose answer comes from the queue: from admission to the one
// answer, with the caller's cancellation and deadline. Refusals of admission are counted only; what
// became of accepted work is the desk's to log.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/admission/call_terms.h"
#include "server/desk/work_desk.h"
#include "server/rpc/call_cutter.h"
#include "server/rpc/call_probe.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/queued_reply.h"

namespace atelier::server {

// The deadline of callers that set none.
inline constexpr absl::Duration kDefaultDeadline = absl::Seconds(60);

// The earlier of gRPC's deadline and the request's own, or the default one without either.
absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now,
                      absl::Duration timeout = absl::InfiniteDuration());

// What the desk must know of a call besides its work.
WorkTerms TermsOfCall(const grpc::CallbackServerContext& context, const CallTerms& terms,
                      absl::Time now);

// One call in flight. Alive until gRPC has let go of it and the desk has answered. Holds the
// pictures once: the message goes when admission has made work of it, and the reply when its bytes
// are there, which count until they are sent (OpenAnswers). `Kind` has the types Work, Outcome,
// Request and Response of the call, and
//   static void Announce(const Work& work, Response& response);
//     what is known at admission, besides model, version and request id
//   static void Fill(Outcome outcome, bool cached, Response& response);
//     what the worker made, besides precision, warnings and timings
template <typename Kind>
class QueuedCall final : public grpc::ServerUnaryReactor,
                         public std::enable_shared_from_this<QueuedCall<Kind>> {
 public:
  // Starts a call of the work that `admission` makes of `message`, or answers its error; gRPC owns
  // what is returned. Desk, probe and clock outlive the call.
  template <typename Admission>
  static grpc::ServerUnaryReactor* Start(WorkDesk& desk, CallProbe& probe, const Clock& clock,
                                         const Admission& admission,
                                         grpc::CallbackServerContext& context,
                                         const grpc::ByteBuffer& message,
                                         grpc::ByteBuffer& response) {
    const auto call = std::shared_ptr<QueuedCall>(new QueuedCall(desk, probe, context, response));
    // The answer may come before the end of this function.
    call->self_ = call;
    WorkTerms terms;
    grpc::ByteBuffer taken = TakeMessage(message);
    absl::StatusOr<typename Kind::Work> work = Admit(admission, context, clock, taken, terms);
    if (!work.ok()) {
      probe.Refused(work.status());
      call->Answer(work.status());
    } else {
      call->Begin(*std::move(work), terms);
    }
    return call.get();
  }

 private:
  QueuedCall(WorkDesk& desk, CallProbe& probe, grpc::CallbackServerContext& context,
             grpc::ByteBuffer& response)
      : desk_(desk),
        probe_(probe),
        id_(desk.NextId()),
        cutter_(std::make_shared<CallCutter>(context)),
        response_(response) {}

  template <typename Admission>
  static absl::StatusOr<typename Kind::Work> Admit(const Admission& admission,
                                                   const grpc::CallbackServerContext& context,
                                                   const Clock& clock, grpc::ByteBuffer& message,
                                                   WorkTerms& terms) {
    typename Kind::Request request;
    ATELIER_RETURN_IF_ERROR(ReadMessage(message, request));
    ATELIER_ASSIGN_OR_RETURN(typename Kind::Work work, admission.Admit(request));
    terms = TermsOfCall(context, *TermsOf(request), clock.Now());
    return work;
  }

  void Begin(typename Kind::Work work, const WorkTerms& terms) {
    AnnounceReply<Kind>(work, reply_);
    answer_ = desk_.answers().Open(terms.client);
    desk_.Submit(id_, std::move(work), terms,
                 [keep_alive = this->shared_from_this()](WorkAnswer answer) {
                   keep_alive->Finished(std::move(answer));
                 });
    if (cancelled_) {
      desk_.Cancel(id_);  // OnCancel came before the queue knew the request
    }
  }

  void OnCancel() override {
    cancelled_ = true;
    desk_.Cancel(id_);
  }

  void OnDone() override {
    cutter_->CallIsOver();
    answer_.reset();
    self_.reset();
  }

  void Finished(WorkAnswer answer) {
    if (!answer.outcome.ok()) {
      return Answer(answer.outcome.status());
    }
    FillReply<Kind>(std::move(answer), probe_, reply_);
    response_ = BytesOfMessage(reply_);
    reply_ = typename Kind::Response();
    answer_->Sent(response_.Length(), [cutter = cutter_] { cutter->Cut(); });
    Answer(absl::OkStatus());
  }

  void Answer(const absl::Status& status) {
    probe_.Answered(status.code());
    this->Finish(ToGrpcStatus(status));
  }

  WorkDesk& desk_;
  CallProbe& probe_;
  const RequestId id_;
  const std::shared_ptr<CallCutter> cutter_;
  typename Kind::Response reply_;
  std::unique_ptr<OpenAnswers::Answer> answer_;  // of admitted work, until OnDone
  grpc::ByteBuffer& response_;                   // gRPC's, until Finish
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<QueuedCall> self_;
};

}  // namespace atelier::server
