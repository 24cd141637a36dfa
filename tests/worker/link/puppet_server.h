// The server's end of the worker link, moved by the test's hand.
#pragma once

#include <grpcpp/server.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "tests/support/temp_dir.h"

namespace atelier::test {

// Thread-safe. Answers Hello with Welcome; everything else is the test's to do. Messages are kept
// until a test asks for them.
class PuppetServer final : public internal::v1::WorkerLink::Service {
 public:
  using Message = internal::v1::WorkerMessage;

  struct Options {
    bool tcp = false;  // 127.0.0.1 and a free port instead of a unix socket
    std::uint32_t heartbeat_ms = 20;
    // Ends the control stream with this instead of a Welcome.
    grpc::Status refusal = grpc::Status::OK;
    // Said to the first Hello instead of a Welcome, and then the stream ends.
    std::optional<internal::v1::ServerMessage> stale;
    // Says nothing at all after Hello.
    bool silent = false;
    // Of the Welcome.
    std::uint32_t protocol = 1;
    std::vector<internal::v1::LoadModel> preload;
    // Said right after the Welcome.
    std::vector<internal::v1::ServerMessage> at_once;
    // Does not answer the end of a stream until it is cut.
    bool never_ends = false;
    // Another service at the same address, which outlives the server.
    grpc::Service* beside = nullptr;
  };

  PuppetServer() : PuppetServer(Options()) {}
  explicit PuppetServer(Options options);
  ~PuppetServer() override;

  // Stays the same over Stop and Start (unix sockets only).
  const std::string& address() const { return address_; }
  void Start();
  // Breaks every stream.
  void Stop();

  struct Received {
    Message message;
    bool bulk = false;
    std::string peer;
  };
  // Takes the oldest kept message of this kind, waiting up to 20 s for one. Nothing at the timeout.
  std::optional<Received> Await(Message::MessageCase kind);
  // The same for the one that `wanted` accepts; the others stay.
  std::optional<Received> AwaitIf(const std::function<bool(const Message&)>& wanted);
  // How many messages of this kind are kept.
  int Kept(Message::MessageCase kind);

  // Sends on the newest stream.
  void Send(const internal::v1::ServerMessage& message, bool bulk = false);
  // Cuts the newest stream.
  void Break(bool bulk);
  // While paused, nothing is read from bulk (or control) streams: the worker's messages get stuck
  // in flow control.
  void Pause(bool bulk, bool paused);
  // How many streams were half-closed by the worker.
  int half_closes();

  grpc::Status Control(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<internal::v1::ServerMessage, Message>* stream) override;
  grpc::Status Bulk(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<internal::v1::ServerMessage, Message>* stream) override;

 private:
  struct Line {
    grpc::ServerContext* context = nullptr;
    grpc::ServerReaderWriter<internal::v1::ServerMessage, Message>* stream = nullptr;
    bool paused = false;
  };

  grpc::Status Listen(bool bulk, grpc::ServerContext* context,
                      grpc::ServerReaderWriter<internal::v1::ServerMessage, Message>* stream);

  const Options options_;
  TempDir directory_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;

  absl::Mutex mu_;
  Line lines_[2] ABSL_GUARDED_BY(mu_);
  std::list<Received> received_ ABSL_GUARDED_BY(mu_);
  std::uint64_t sessions_ ABSL_GUARDED_BY(mu_) = 0;
  int half_closes_ ABSL_GUARDED_BY(mu_) = 0;
  bool stale_said_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::test
