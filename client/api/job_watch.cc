#include "client/api/job_watch.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <memory>

#include "absl/time/clock.h"
#include "client/api/call.h"
#include "common/errors.h"
#include "common/status_macros.h"

namespace atelier::client {
namespace {

// What gRPC says when something between it and the server, for example a proxy, resets the stream.
// Errors of an Atelier server carry details.
bool CutOnTheWay(const grpc::Status& status) {
  return status.error_details().empty() && (status.error_code() == grpc::StatusCode::INTERNAL ||
                                            status.error_code() == grpc::StatusCode::UNKNOWN);
}

}  // namespace

absl::Status JobWatch::Run() {
  for (;;) {
    absl::Status status = RunStream();
    if (absl::IsDeadlineExceeded(status)) {
      ATELIER_RETURN_IF_ERROR(AwaitAnswer());
      continue;
    }
    // Others took its place while a stream of it was replaced. A first one is told at once.
    const bool crowded_out = told_ > 0 && RetryDelayOf(status).has_value();
    if ((!absl::IsUnavailable(status) && !crowded_out) || !WaitBeforeRetry()) {
      return status;
    }
  }
}

absl::Status JobWatch::AwaitAnswer() {
  v1::GetJobRequest request;
  request.set_job_id(request_.job_id());
  for (;;) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + options_.call_deadline));
    v1::Job ignored;
    absl::Status status = CallError(stub_.GetJob(&context, request, &ignored), options_.server,
                                    options_.call_deadline);
    if (!absl::IsDeadlineExceeded(status) && !absl::IsUnavailable(status)) {
      HeardFromServer();
      return absl::OkStatus();
    }
    if (!WaitBeforeRetry()) {
      return status;
    }
  }
}

void JobWatch::HeardFromServer() {
  away_since_ = absl::InfiniteFuture();
  backoff_ = absl::ZeroDuration();
}

absl::Status JobWatch::RunStream() {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.watch_stream_deadline));
  const auto stream = stub_.WatchJob(&context, request_);
  v1::JobEvent event;
  bool final = false;
  while (!final && stream->Read(&event)) {
    if (event.sequence() <= told_) {
      continue;
    }
    told_ = event.sequence();
    request_.set_from_sequence(event.sequence() + 1);
    HeardFromServer();
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
  return CallError(status, options_.server, options_.watch_stream_deadline);
}

bool JobWatch::WaitBeforeRetry() {
  backoff_ = std::clamp(backoff_ * 2, options_.watch_backoff_first, options_.watch_backoff_last);
  const absl::Time now = absl::Now();
  away_since_ = std::min(away_since_, now);
  const absl::Duration patience = away_since_ + options_.watch_patience - now;
  if (patience <= absl::ZeroDuration()) {
    return false;
  }
  absl::SleepFor(std::min(backoff_, patience));
  return true;
}

}  // namespace atelier::client
