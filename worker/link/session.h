// A worker's connection to one server: the control and the bulk stream, the greeting, heartbeats,
// and routing by size.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "worker/link/channel.h"
#include "worker/link/outbox.h"
#include "worker/link/stream.h"

namespace atelier::worker {

// Messages above this go on the bulk stream. Unit: bytes.
inline constexpr std::size_t kBulkThresholdBytes = 1U << 20U;
// The range of link protocol versions that this build speaks.
inline constexpr std::uint32_t kProtocolMin = 1;
inline constexpr std::uint32_t kProtocolMax = 2;

// What a session tells its owner. Both methods run on gRPC's threads, possibly before Session::Open
// has returned, and must not block nor destroy the session.
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;

  // Everything but Welcome. Messages of one stream come in order; the two streams may interleave.
  virtual void OnMessage(internal::v1::ServerMessage message) = 0;

  // A stream ended without Close having been called; nothing can be sent any more. Comes at most
  // once.
  virtual void OnBroken(const absl::Status& why) = 0;
};

// Thread-safe.
class Session final : public Outbox {
 public:
  struct Options {
    std::string address;  // "unix:PATH" or "HOST:PORT"
    LinkTls tls;          // read anew by each Open, so that renewed files count
    // device, memory_bytes, role, name, slots, and the lease for role TRAIN; the session fills in
    // versions.
    internal::v1::Hello hello;
    // Makes the figures of each heartbeat; must return quickly.
    std::function<internal::v1::WorkerFigures()> figures;
    absl::Duration connect_timeout = absl::Seconds(5);
  };

  // Dials, greets and waits for Welcome; blocks up to the timeout. The handler must outlive the
  // session. UNAVAILABLE: nobody answers, or not over TLS; FAILED_PRECONDITION: no common protocol
  // version; PERMISSION_DENIED: unknown lease; those of LinkCredentials.
  static absl::StatusOr<std::unique_ptr<Session>> Open(Options options, SessionHandler& handler);

  // Cuts both streams if need be and waits until the handler is no longer called.
  ~Session() override;

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Queues a message on the stream that fits its size, waiting while that stream's queue is full.
  // False when the session is broken or closed, and for a message above kMaxMessageBytes. Never
  // call it from the handler.
  bool Send(internal::v1::WorkerMessage message) override;

  // The same without waiting: false also when the queue is full.
  bool TrySend(internal::v1::WorkerMessage message) override;

  // Sends what is queued, half-closes both streams and waits for the server to end them; cuts them
  // at the timeout. True if every message was handed over. Send fails from here on.
  bool Close(absl::Duration timeout);

  // What the server answered.
  const internal::v1::Welcome& welcome() const { return answer_; }
  // What it was opened with, for further connections that the server is to know as this one's: the
  // files may have been renewed since.
  const std::shared_ptr<grpc::ChannelCredentials>& credentials() const { return credentials_; }

 private:
  Session(Options options, SessionHandler& handler);

  absl::Status Greet() ABSL_LOCKS_EXCLUDED(mu_);
  std::unique_ptr<Stream> StartStream(bool bulk);
  Stream* StreamFor(const internal::v1::WorkerMessage& message);
  void OnControlMessage(internal::v1::ServerMessage message) ABSL_LOCKS_EXCLUDED(mu_);
  void OnStreamEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Heartbeats(absl::Duration interval) ABSL_LOCKS_EXCLUDED(mu_);
  bool Ending() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return closing_ || end_.has_value(); }
  bool Answered() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return welcome_.has_value() || end_.has_value();
  }

  const Options options_;
  SessionHandler& handler_;
  // Own connections: heartbeats never share one with pictures.
  std::unique_ptr<internal::v1::WorkerLink::Stub> control_stub_;
  std::unique_ptr<internal::v1::WorkerLink::Stub> bulk_stub_;
  // Set while Open runs, constant afterwards.
  std::unique_ptr<Stream> control_;
  std::unique_ptr<Stream> bulk_;
  internal::v1::Welcome answer_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;

  absl::Mutex mu_;
  std::optional<internal::v1::Welcome> welcome_ ABSL_GUARDED_BY(mu_);
  // Why the first stream to end did so.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  bool greeted_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;

  std::thread heartbeats_;
};

}  // namespace atelier::worker
