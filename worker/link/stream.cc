#include "worker/link/stream.h"

#include <utility>

#include "common/rpc/grpc_status.h"

namespace atelier::worker {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;

std::unique_ptr<Stream> Stream::Start(Options options) {
  std::unique_ptr<Stream> stream(new Stream(std::move(options)));
  stream->options_.start(&stream->context_, stream.get());
  // Writes come from outside reactions; the hold keeps OnDone away until Close says there will be
  // no more.
  stream->AddHold();
  stream->StartRead(&stream->incoming_);
  stream->StartCall();
  return stream;
}

Stream::~Stream() {
  Cancel();
  WaitForEnd(absl::InfiniteFuture());
}

bool Stream::Send(WorkerMessage message) {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &Stream::RoomOrClosed));
  if (closed_ || finishing_) {
    return false;
  }
  Push(std::move(message));
  return true;
}

bool Stream::TrySend(WorkerMessage message) {
  absl::MutexLock lock(&mu_);
  if (closed_ || finishing_ || !HasRoom()) {
    return false;
  }
  Push(std::move(message));
  return true;
}

void Stream::FinishWrites() {
  absl::MutexLock lock(&mu_);
  finishing_ = true;
  Pump();
}

void Stream::Cancel() { context_.TryCancel(); }

bool Stream::WaitForEnd(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithDeadline(absl::Condition(&ended_), deadline);
}

bool Stream::AllWritten() {
  absl::MutexLock lock(&mu_);
  return queue_.empty() && !lost_message_;
}

bool Stream::HasRoom() const {
  return queue_.empty() || (queue_.size() < options_.max_queued_messages &&
                            queued_bytes_ < options_.max_queued_bytes);
}

void Stream::Push(WorkerMessage message) {
  queued_bytes_ += message.ByteSizeLong();
  queue_.push_back(std::move(message));
  Pump();
}

void Stream::Pump() {
  if (closed_ || writing_ || half_closed_) {
    return;
  }
  if (!queue_.empty()) {
    writing_ = true;
    StartWrite(&queue_.front());
  } else if (finishing_) {
    half_closed_ = true;
    StartWritesDone();
  }
}

void Stream::OnReadDone(bool ok) {
  if (!ok) {
    Close();
    return;
  }
  options_.on_message(std::move(incoming_));
  incoming_ = ServerMessage();
  StartRead(&incoming_);
}

void Stream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  writing_ = false;
  queued_bytes_ -= queue_.front().ByteSizeLong();
  queue_.pop_front();
  if (ok) {
    Pump();
  } else {
    // The stream is broken; the outstanding read fails too and closes it.
    lost_message_ = true;
  }
}

void Stream::Close() {
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
  }
  RemoveHold();
}

void Stream::OnDone(const grpc::Status& status) {
  options_.on_end(FromGrpcStatus(status));
  // The last use of this object: whoever waits for the end may destroy it once the lock is
  // released.
  absl::MutexLock lock(&mu_);
  ended_ = true;
}

}  // namespace atelier::worker
