#include "server/dispatch/link/link_stream.h"

#include <utility>

#include "common/rpc/grpc_status.h"

namespace atelier::server {

void LinkStream::Start(Events events) {
  events_ = std::move(events);
  self_ = shared_from_this();
  StartRead(&incoming_);
}

void LinkStream::Send(internal::v1::ServerMessage message) {
  const absl::MutexLock lock(&mutex_);
  if (closing_) {
    return;
  }
  if (queue_.size() >= kMaxQueuedMessages) {
    return CloseLocked(absl::ResourceExhaustedError("The worker does not read its messages."));
  }
  queue_.push_back(std::move(message));
  if (!writing_) {
    writing_ = true;
    StartWrite(&queue_.front());
  }
}

void LinkStream::Close(const absl::Status& status) {
  const absl::MutexLock lock(&mutex_);
  CloseLocked(status);
}

void LinkStream::CloseLocked(const absl::Status& status) {
  if (closing_) {
    return;
  }
  closing_ = true;
  close_status_ = status;
  if (!writing_) {
    Finish(ToGrpcStatus(status));
  }  // else OnWriteDone does
}

void LinkStream::Abort() {
  const absl::MutexLock lock(&mutex_);
  if (!done_) {
    context_->TryCancel();
  }
}

void LinkStream::OnReadDone(bool ok) {
  if (!ok) {
    events_.finished();
    return;
  }
  internal::v1::WorkerMessage message = std::move(incoming_);
  incoming_ = internal::v1::WorkerMessage();
  events_.message(std::move(message));
  const absl::MutexLock lock(&mutex_);
  if (!closing_) {
    StartRead(&incoming_);
  }
}

void LinkStream::OnWriteDone(bool ok) {
  bool broken = false;
  {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    queue_.pop_front();
    if (closing_) {
      Finish(ToGrpcStatus(close_status_));
    } else if (!ok) {
      broken = true;
    } else if (!queue_.empty()) {
      writing_ = true;
      StartWrite(&queue_.front());
    }
  }
  if (broken) {
    events_.broken();
  }
}

void LinkStream::OnCancel() {
  events_.broken();
  Close(absl::CancelledError("The stream broke."));
}

void LinkStream::OnDone() {
  {
    const absl::MutexLock lock(&mutex_);
    done_ = true;
  }
  events_.ended();
  events_ = Events();
  self_.reset();
}

}  // namespace atelier::server
