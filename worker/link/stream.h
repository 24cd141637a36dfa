// One stream of the worker link, with the one-write-at-a-time rule of gRPC hidden behind a bounded
// send queue.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::worker {

// Thread-safe. Destroy it on a thread of one's own, never on one of gRPC's: the last reference to a
// channel may go with it, and gRPC 1.51 then joins its own threads.
class Stream final
    : public grpc::ClientBidiReactor<internal::v1::WorkerMessage, internal::v1::ServerMessage> {
 public:
  using Starter = std::function<void(
      grpc::ClientContext*,
      grpc::ClientBidiReactor<internal::v1::WorkerMessage, internal::v1::ServerMessage>*)>;

  struct Options {
    // Calls the stub's method; runs once, inside Start.
    Starter start;
    // Both run on gRPC's threads and must not block. Messages come in order; `on_end` comes once,
    // last, with OK only after a half-close that the server answered in kind.
    std::function<void(internal::v1::ServerMessage)> on_message;
    std::function<void(const absl::Status&)> on_end;
    // The send queue's bounds. One message larger than `max_queued_bytes` is still let into an
    // empty queue.
    std::size_t max_queued_messages = 64;
    std::size_t max_queued_bytes = 96U << 20U;
  };

  static std::unique_ptr<Stream> Start(Options options);

  // Cuts the stream if it has not ended and waits until gRPC has let go of it.
  ~Stream() override;

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Queues a message, waiting while the queue is full. False when the stream has ended or is being
  // finished. Never call it from `on_message` or `on_end`.
  bool Send(internal::v1::WorkerMessage message);

  // Queues a message if there is room now; never blocks.
  bool TrySend(internal::v1::WorkerMessage message);

  // Sends what is queued, then half-closes.
  void FinishWrites();

  // Ends the stream at once; queued messages are lost.
  void Cancel();

  // Waits until `on_end` has returned. False at the deadline.
  bool WaitForEnd(absl::Time deadline);

  // Whether every message that was queued has been handed to the connection.
  bool AllWritten();

 private:
  explicit Stream(Options options) : options_(std::move(options)) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool RoomOrClosed() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return closed_ || finishing_ || HasRoom();
  }
  void Push(internal::v1::WorkerMessage message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // No operation may be started from outside a reaction after this.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  grpc::ClientContext context_;
  internal::v1::ServerMessage incoming_;

  absl::Mutex mu_;
  // A deque keeps its elements in place, so gRPC may read the front one while others are added.
  std::deque<internal::v1::WorkerMessage> queue_ ABSL_GUARDED_BY(mu_);
  std::size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_message_ ABSL_GUARDED_BY(mu_) = false;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::worker
