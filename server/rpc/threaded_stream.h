// A stream of answers that a thread of its own writes: for calls that wait for disks and
// conversions.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/grpc_status.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

// The thread writes the messages one by one and waits for each; gRPC's reactions only wake it. Made
// by std::make_shared; owns itself from Begin until the call's end.
template <typename Message>
class ThreadedStream : public grpc::ServerWriteReactor<Message>,
                       public std::enable_shared_from_this<ThreadedStream<Message>> {
 public:
  // `threads` and `context` outlive the call. `patience`: how long the client may take for a
  // message.
  ThreadedStream(TransferThreads& threads, absl::Duration patience,
                 grpc::CallbackServerContext& context)
      : threads_(threads), patience_(patience), context_(context) {}

  void Begin() {
    self_ = this->shared_from_this();
    const absl::Status taken =
        threads_.Run([call = this->shared_from_this()] { call->Answer(call->Run()); });
    if (!taken.ok()) {
      Answer(taken);
    }
  }

 protected:
  // On the thread: everything but the status, which it returns.
  virtual absl::Status Run() = 0;
  // The call gets this answer now; also one that no thread took.
  virtual void Answered(absl::StatusCode /*code*/) {}

  // What WriteMessage sends; gRPC's while that runs.
  Message& message() { return message_; }

  // CANCELLED: the client is gone, or has not taken it in time.
  absl::Status WriteMessage() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      writing_ = true;
    }
    this->StartWrite(&message_);
    const absl::MutexLock lock(&mutex_);
    const absl::Condition done(this, &ThreadedStream::WriteHasEnded);
    if (!mutex_.AwaitWithTimeout(done, patience_)) {
      // The write in flight must end before the call may; cancelling makes it fail.
      context_.TryCancel();
      mutex_.Await(done);
      written_ = false;
    }
    return written_ ? absl::OkStatus() : absl::CancelledError("The transfer was cancelled.");
  }

  // Stops with the call.
  std::stop_token cancelled() const { return cancel_.get_token(); }

 private:
  void Answer(const absl::Status& status) {
    Answered(status.code());
    this->Finish(ToGrpcStatus(status));
  }

  bool WriteHasEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_; }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    written_ = ok;
  }

  void OnCancel() override { cancel_.request_stop(); }

  void OnDone() override { self_.reset(); }

  TransferThreads& threads_;
  const absl::Duration patience_;
  grpc::CallbackServerContext& context_;
  std::shared_ptr<ThreadedStream> self_;
  Message message_;
  std::stop_source cancel_;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool written_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace atelier::server
