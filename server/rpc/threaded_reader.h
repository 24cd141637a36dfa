// A stream of requests that a thread of its own reads: for calls that wait for disks and
// conversions.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/message_bytes.h"
#include "server/transfer/transfer_threads.h"

namespace atelier::server {

// The thread reads the messages one by one, as bytes (message_bytes.h), and waits for each; gRPC's
// reactions only wake it. Made by std::make_shared; gRPC holds one share from Begin until OnDone,
// the thread another.
template <typename Message, typename Response>
class ThreadedReader : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                       public std::enable_shared_from_this<ThreadedReader<Message, Response>> {
 public:
  // `threads` outlives the call. `patience`: how long the client may take for a message. `answer`
  // is gRPC's, until Finish.
  ThreadedReader(TransferThreads& threads, absl::Duration patience, grpc::ByteBuffer& answer)
      : threads_(threads), patience_(patience), answer_(answer) {}

  void Begin() {
    self_ = this->shared_from_this();
    const absl::Status taken =
        threads_.Run([call = this->shared_from_this()] { call->AnswerOnThread(); });
    if (!taken.ok()) {
      Answer(taken);
    }
  }

 protected:
  // On the thread: fills `response`, and returns the status.
  virtual absl::Status Run(Response& response) = 0;
  // The call gets this answer now; also one that no thread took.
  virtual void Answered(absl::StatusCode code) = 0;

  // What ReadNext read last.
  const Message& message() const { return message_; }

  // Whether another message came; false: the client has sent all. CANCELLED; DEADLINE_EXCEEDED; the
  // errors of ReadMessage.
  absl::StatusOr<bool> ReadNext() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      read_ = Read::kPending;
    }
    this->StartRead(&bytes_);
    ATELIER_RETURN_IF_ERROR(AwaitRead());
    {
      const absl::MutexLock lock(&mutex_);
      if (read_ != Read::kMessage) {
        return false;
      }
    }
    message_ = Message();
    ATELIER_RETURN_IF_ERROR(ReadMessage(bytes_, message_));
    return true;
  }

  // Stops with the call.
  std::stop_token cancelled() const { return cancel_.get_token(); }

 private:
  enum class Read { kNone, kPending, kMessage, kEnd };

  absl::Status AwaitRead() ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &ThreadedReader::ReadHasEnded), patience_)) {
      return absl::DeadlineExceededError("Nothing came for " + absl::FormatDuration(patience_) +
                                         "; the call was given up.");
    }
    if (cancel_.stop_requested()) {
      return absl::CancelledError("The call was cancelled.");
    }
    return absl::OkStatus();
  }

  void AnswerOnThread() {
    Response response;
    const absl::Status status = Run(response);
    if (status.ok()) {
      answer_ = BytesOfMessage(response);
    }
    Answer(status);
  }

  void Answer(const absl::Status& status) {
    Answered(status.code());
    this->Finish(ToGrpcStatus(status));
  }

  bool ReadHasEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return read_ != Read::kPending;
  }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    read_ = ok ? Read::kMessage : Read::kEnd;
  }

  void OnCancel() override { cancel_.request_stop(); }

  void OnDone() override { self_.reset(); }

  TransferThreads& threads_;
  const absl::Duration patience_;
  std::shared_ptr<ThreadedReader> self_;
  grpc::ByteBuffer& answer_;
  grpc::ByteBuffer bytes_;  // gRPC's while a read is pending
  Message message_;
  std::stop_source cancel_;
  absl::Mutex mutex_;
  Read read_ ABSL_GUARDED_BY(mutex_) = Read::kNone;
};

}  // namespace atelier::server
