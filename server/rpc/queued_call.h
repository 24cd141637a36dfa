// What the calls have in common whose answer comes from the queue: from admission to the one
// answer, with the caller's cancellation and deadline. Every accepted call that does not end well
// is a line in the log, but for those that the caller gave up; refusals are counted only.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/types.pb.h"
#include "common/clock.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/picture_enums.h"
#include "server/queue/request_queue.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

// The deadline of callers that set none.
inline constexpr absl::Duration kDefaultDeadline = absl::Seconds(60);

// A call that is cancelled this close to its deadline was cancelled by it: the caller's clock is a
// little ahead, by the time that the request was on its way.
inline constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(250);

// The caller's deadline, or the default one.
absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now);

// One call in flight. Alive until gRPC has let go of it and the queue has answered. `Kind` has the
// types Work, Outcome and Response of the call, and
//   static void Announce(const Work& work, Response& response);
//     what is known at admission, besides model, version and request id
//   static void Fill(Outcome outcome, Response& response);
//     what the worker made, besides precision, warnings and timings
template <typename Kind>
class QueuedCall final : public grpc::ServerUnaryReactor,
                         public std::enable_shared_from_this<QueuedCall<Kind>> {
 public:
  // Starts a call of `work`, or answers its error; gRPC owns what is returned. All but `work`
  // outlive the call.
  static grpc::ServerUnaryReactor* Start(RequestQueue& queue, CallProbe& probe, Clock& clock,
                                         const grpc::CallbackServerContext& context,
                                         absl::StatusOr<typename Kind::Work> work,
                                         typename Kind::Response& response) {
    const auto call = std::shared_ptr<QueuedCall>(new QueuedCall(queue, probe, clock, response));
    call->Begin(std::move(work), DeadlineOf(context, clock.Now()));
    return call.get();
  }

 private:
  QueuedCall(RequestQueue& queue, CallProbe& probe, Clock& clock, typename Kind::Response& response)
      : queue_(queue), probe_(probe), clock_(clock), id_(queue.NextId()), response_(response) {}

  void Begin(absl::StatusOr<typename Kind::Work> work, absl::Time deadline) {
    self_ = this->shared_from_this();
    // The answer may come before the end of this method.
    const std::shared_ptr<QueuedCall> keep_alive = self_;
    if (!work.ok()) {
      probe_.Refused(work.status());
      return Answer(work.status());
    }
    deadline_ = deadline;
    response_.set_request_id(work->request_id);
    response_.set_model(work->model.name);
    response_.set_model_version(work->model.version);
    Kind::Announce(*work, response_);
    auto request = std::make_unique<Request>(
        id_, *std::move(work), deadline,
        [this, keep_alive](absl::StatusOr<Outcome> outcome) { Finished(std::move(outcome)); });
    if (absl::Status status = queue_.Enqueue(request); !status.ok()) {
      return Answer(status);
    }
    if (cancelled_) {
      queue_.Cancel(id_);  // OnCancel came before the queue knew the request
    }
  }

  void OnCancel() override {
    cancelled_ = true;
    queue_.Cancel(id_);
  }

  void OnDone() override { self_.reset(); }

  void Finished(absl::StatusOr<Outcome> outcome) {
    const absl::Time now = clock_.Now();
    const absl::Duration total = now - accepted_at_;
    if (!outcome.ok()) {
      // A caller that hung up is nobody's failure, unless it did so because its deadline came.
      if (!absl::IsCancelled(outcome.status()) || now + kDeadlineSlack >= deadline_) {
        spdlog::warn("request {} for {}@{} ended {} after {:.3f} s: {}", response_.request_id(),
                     response_.model(), response_.model_version(),
                     absl::StatusCodeToString(outcome.status().code()),
                     absl::ToDoubleSeconds(total), std::string(outcome.status().message()));
      }
      return Answer(outcome.status());
    }
    OutcomeFacts& facts = FactsOf(*outcome);
    probe_.Done(facts, total);
    response_.set_precision(ToProto(facts.precision));
    for (std::string& warning : facts.warnings) {
      response_.add_warnings(std::move(warning));
    }
    auto& timings = *response_.mutable_timings();
    timings.set_queue(facts.queue_s);
    timings.set_load(facts.load_s);
    timings.set_compute(facts.compute_s);
    timings.set_encode(facts.encode_s);
    timings.set_total(absl::ToDoubleSeconds(total));
    // The dispatcher lets only outcomes of the work's own kind through.
    Kind::Fill(std::get<typename Kind::Outcome>(*std::move(outcome)), response_);
    Answer(absl::OkStatus());
  }

  void Answer(const absl::Status& status) {
    probe_.Answered(status.code());
    this->Finish(ToGrpcStatus(status));
  }

  RequestQueue& queue_;
  CallProbe& probe_;
  Clock& clock_;
  const RequestId id_;
  typename Kind::Response& response_;  // gRPC's, until Finish
  const absl::Time accepted_at_ = clock_.Now();
  absl::Time deadline_;  // once the queue has it
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<QueuedCall> self_;
};

}  // namespace atelier::server
