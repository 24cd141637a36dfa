// One stream of the worker link on the server's side, with gRPC's rule of one outstanding write
// hidden behind a bounded send queue.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "server/dispatch/link/link_transport.h"

namespace atelier::server {

// Thread-safe. Keeps itself alive until gRPC has let go of it.
class LinkStream final
    : public grpc::ServerBidiReactor<internal::v1::WorkerMessage, internal::v1::ServerMessage>,
      public LinkTransport,
      public std::enable_shared_from_this<LinkStream> {
 public:
  // Called from gRPC's threads; `message` in the order of the messages, each call after the one
  // before has returned.
  struct Events {
    std::function<void(internal::v1::WorkerMessage)> message;
    // There is nothing more to read; comes after the last message. The peer has half-closed, or it
    // is gone: then `broken` follows, or came before.
    std::function<void()> finished;
    std::function<void()> broken;  // the peer is gone
    std::function<void()> ended;   // nothing comes after it
  };

  // Beyond this the worker cannot be reading: it has credit for far less.
  static constexpr std::size_t kMaxQueuedMessages = 4096;

  explicit LinkStream(grpc::CallbackServerContext* context) : context_(context) {}

  // Starts reading. Call once, before the reactor is returned to gRPC.
  void Start(Events events);

  void Send(internal::v1::ServerMessage message) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Close(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Abort() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void CloseLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Events events_;
  internal::v1::WorkerMessage incoming_;
  std::shared_ptr<LinkStream> self_;

  absl::Mutex mutex_;
  // Valid until OnDone.
  grpc::CallbackServerContext* const context_ ABSL_PT_GUARDED_BY(mutex_);
  // A deque keeps its elements in place, so gRPC may read the front one while others are added.
  std::deque<internal::v1::ServerMessage> queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
