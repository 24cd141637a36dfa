#include "client/api/job_watch.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <memory>

#include "absl/time/clock.h"
#include "client/api/call.h"

namespace atelier::client {
namespace {

// A stream is replaced after this time, so that a connection that died without a word is noticed.
constexpr absl::Duration kStreamDeadline = absl::Minutes(10);

// What gRPC says when something between it and the server, for example a proxy, resets the stream.
// Errors of an Atelier server carry details.
bool CutOnTheWay(const grpc::Status& status) {
  return status.error_details().empty() && (status.error_code() == grpc::StatusCode::INTERNAL ||
                                            status.error_code() == grpc::StatusCode::UNKNOWN);
}

}  // namespace

absl::Status JobWatch::Run() {
  last_sign_of_life_ = absl::Now();
  for (;;) {
    absl::Status status = RunStream();
    if (absl::IsDeadlineExceeded(status)) {
      last_sign_of_life_ = absl::Now();
      continue;
    }
    if (!absl::IsUnavailable(status) || !WaitBeforeRetry()) {
      return status;
    }
  }
}

absl::Status JobWatch::RunStream() {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kStreamDeadline));
  const auto stream = stub_.WatchJob(&context, request_);
  v1::JobEvent event;
  bool final = false;
  while (!final && stream->Read(&event)) {
    if (event.sequence() <= told_) {
      continue;
    }
    told_ = event.sequence();
    request_.set_from_sequence(event.sequence() + 1);
    last_sign_of_life_ = absl::Now();
    backoff_ = absl::ZeroDuration();
    final = event.has_state() && IsFinal(event.state().state());
    if (!on_event_(event)) {
      context.TryCancel();
      while (stream->Read(&event)) {
      }
      stream->Finish();
      return absl::CancelledError("the watcher stopped");
    }
  }
  if (final) {
    // The job's end counts, however the stream ends.
    while (stream->Read(&event)) {
    }
    stream->Finish();
    return absl::OkStatus();
  }
  const grpc::Status status = stream->Finish();
  if (status.ok() || CutOnTheWay(status)) {
    return absl::UnavailableError("the stream from " + options_.server +
                                  " was cut before the job's end");
  }
  return CallError(status, options_.server, kStreamDeadline);
}

bool JobWatch::WaitBeforeRetry() {
  backoff_ = std::clamp(backoff_ * 2, options_.watch_backoff_first, options_.watch_backoff_last);
  const absl::Duration patience = last_sign_of_life_ + options_.watch_patience - absl::Now();
  if (patience <= absl::ZeroDuration()) {
    return false;
  }
  absl::SleepFor(std::min(backoff_, patience));
  return true;
}

}  // namespace atelier::client
