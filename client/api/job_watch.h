// One WatchJob call of the client: a chain of streams that looks like one.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "atelier/v1/training.grpc.pb.h"
#include "client/api/client.h"

namespace atelier::client {

// Single use, one thread.
class JobWatch final {
 public:
  using OnEvent = std::function<bool(const v1::JobEvent&)>;

  // Keeps references to all of them but the request.
  JobWatch(v1::TrainingService::StubInterface& stub, const Client::Options& options,
           v1::WatchJobRequest request, const OnEvent& on_event)
      : stub_(stub), options_(options), request_(std::move(request)), on_event_(on_event) {}

  // See Client::WatchJob.
  absl::Status Run();

 private:
  // One stream, until it ends. OK: the job's final state was told.
  absl::Status RunStream();
  // Asks for the job until the server answers, whatever it says; else an error of CallError.
  absl::Status AwaitAnswer();
  void HeardFromServer();
  // Pauses; false when patience is at its end.
  bool WaitBeforeRetry();

  v1::TrainingService::StubInterface& stub_;
  const Client::Options& options_;
  v1::WatchJobRequest request_;  // from_sequence moves on with every event
  std::uint64_t told_ = 0;       // the newest event's sequence number
  const OnEvent& on_event_;
  absl::Duration backoff_ = absl::ZeroDuration();
  absl::Time away_since_ = absl::InfiniteFuture();  // the first failure behind the last answer
};

}  // namespace atelier::client
