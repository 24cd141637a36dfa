#include "server/dispatch/link/link_server.h"

#include <grpc/grpc.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "common/rpc/without_plugins.h"
#include "common/status_macros.h"
#include "server/dispatch/link/link_stream.h"
#include "server/dispatch/link/peer_of.h"
#include "server/dispatch/link/worker_files_service.h"

namespace atelier::server {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerLink;
using internal::v1::WorkerMessage;
using Reactor = grpc::ServerBidiReactor<WorkerMessage, ServerMessage>;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr char kSocketName[] = "worker.sock";
// What gRPC may hold of all connections. Past it, it reads more slowly and then drops streams.
constexpr std::size_t kMaxTransportBytes = 2ULL << 30U;
// A machine that was switched off sends no end of its connections: a silent one is asked after this
// time, and dropped when no answer comes. Unit: milliseconds.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveAnswerMs = 20'000;
// Workers ask the same of the server, every 20 s; no ping is one too many for a worker. Unit:
// milliseconds.
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kAnyPings = 0;
// A connection that does not finish its handshake is dropped. Unit: milliseconds.
constexpr int kHandshakeMs = 20'000;

bool FitsSocketAddress(const std::filesystem::path& path) {
  const std::string text = path.string();
  return text.size() < sizeof(sockaddr_un{}.sun_path) &&
         std::ranges::all_of(
             text,
             [](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                      std::string_view("/._-").find(c) != std::string_view::npos;
             });
}

class LinkService final : public WorkerLink::CallbackService {
 public:
  explicit LinkService(SessionTable& sessions) : sessions_(sessions) {}

  Reactor* Control(grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<LinkStream>(context);
    std::shared_ptr<WorkerSession> session = sessions_.Open(stream, PeerOf(*context));
    constexpr auto kStream = WorkerSession::Stream::kControl;
    stream->Start({
        .message =
            [session](WorkerMessage message) { session->OnMessage(kStream, std::move(message)); },
        .finished = [session] { session->StreamFinished(kStream); },
        .broken = [session] { session->StreamBroken(kStream); },
        .ended = [session] { session->StreamEnded(kStream); },
    });
    return stream.get();
  }

  Reactor* Bulk(grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<LinkStream>(context);
    auto bulk = std::make_shared<BulkStream>(sessions_, stream, PeerOf(*context));
    stream->Start({
        .message = [bulk](WorkerMessage message) { bulk->OnMessage(std::move(message)); },
        .finished = [bulk] { bulk->OnFinished(); },
        .broken = [bulk] { bulk->OnBroken(); },
        .ended = [bulk] { bulk->OnEnded(); },
    });
    return stream.get();
  }

 private:
  // A bulk stream belongs to nobody until its first message says to whom. `session_` is only
  // touched by reactions to messages and to the end of reading, which come one after the other;
  // `broken_session_` is for OnCancel, which comes at any time.
  class BulkStream {
   public:
    BulkStream(SessionTable& sessions, const std::shared_ptr<LinkStream>& stream, LinkPeer peer)
        : sessions_(sessions), stream_(stream), peer_(std::move(peer)) {}

    void OnMessage(WorkerMessage message) {
      if (std::shared_ptr<WorkerSession> session = this->session()) {
        return session->OnMessage(WorkerSession::Stream::kBulk, std::move(message));
      }
      const std::shared_ptr<LinkStream> stream = stream_.lock();
      std::shared_ptr<WorkerSession> session =
          message.has_bulk_hello() ? sessions_.Find(message.bulk_hello().session()) : nullptr;
      if (session == nullptr || !session->AttachBulk(stream, peer_)) {
        return stream->Close(absl::FailedPreconditionError(
            "A bulk stream must begin with the number of its own session."));
      }
      const absl::MutexLock lock(&mutex_);
      session_ = std::move(session);
    }

    void OnFinished() {
      if (std::shared_ptr<WorkerSession> session = this->session()) {
        session->StreamFinished(WorkerSession::Stream::kBulk);
      } else {
        stream_.lock()->Close(absl::OkStatus());
      }
    }

    void OnBroken() {
      if (std::shared_ptr<WorkerSession> session = this->session()) {
        session->StreamBroken(WorkerSession::Stream::kBulk);
      }
    }

    void OnEnded() {
      if (std::shared_ptr<WorkerSession> session = this->session()) {
        session->StreamEnded(WorkerSession::Stream::kBulk);
      }
    }

   private:
    std::shared_ptr<WorkerSession> session() {
      const absl::MutexLock lock(&mutex_);
      return session_;
    }

    SessionTable& sessions_;
    const std::weak_ptr<LinkStream> stream_;
    const LinkPeer peer_;
    absl::Mutex mutex_;
    std::shared_ptr<WorkerSession> session_ ABSL_GUARDED_BY(mutex_);
  };

  SessionTable& sessions_;
};

class GrpcLinkServer final : public LinkServer {
 public:
  explicit GrpcLinkServer(const WorkerSession::Context& context)
      : sessions_(context), service_(sessions_), files_(sessions_, *context.jobs, *context.clock) {}

  ~GrpcLinkServer() override { Stop(); }

  absl::Status Start(const LinkSocket& socket, const std::optional<RemotePort>& remote) {
    // Left behind by a server that was killed; the data directory's lock keeps living servers
    // apart.
    ::unlink(socket.path().c_str());
    grpc::ServerBuilder builder;
    SetBounds(builder);
    builder.SetOption(std::make_unique<WithoutPlugins>());
    int socket_port = 0;
    builder.AddListeningPort(socket.address(), grpc::InsecureServerCredentials(), &socket_port);
    int port = 0;
    if (remote.has_value()) {
      ATELIER_ASSIGN_OR_RETURN(remote_address_, ParseHostPort("worker_listen", remote->listen));
      builder.AddListeningPort(FormatHostPort(*remote_address_), remote->credentials, &port);
    }
    builder.RegisterService(&service_);
    builder.RegisterService(&files_);
    server_ = builder.BuildAndStart();
    if (remote.has_value() && port <= 0 && socket_port > 0) {
      return absl::UnavailableError("worker_listen: cannot listen on " + remote->listen +
                                    "; another program may be using the port");
    }
    if (server_ == nullptr || ::chmod(socket.path().c_str(), S_IRUSR | S_IWUSR) != 0) {
      return absl::UnavailableError("Cannot listen for workers on " + socket.path().string() + ".");
    }
    if (remote.has_value()) {
      remote_address_->port = static_cast<std::uint16_t>(port);
    }
    return absl::OkStatus();
  }

  const std::optional<HostPort>& remote_address() const override { return remote_address_; }

  void Stop() override {
    sessions_.CloseAll(absl::UnavailableError("The server is stopping."));
    if (server_ != nullptr && !stopped_.exchange(true)) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
      server_->Wait();
    }
  }

 private:
  static void SetBounds(grpc::ServerBuilder& builder) {
    grpc::ResourceQuota quota("worker link");
    quota.Resize(kMaxTransportBytes);
    quota.SetMaxThreads(WorkerFilesService::kMaxThreads);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(kMaxMessageBytes);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveAnswerMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kMinPingIntervalMs);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kAnyPings);
    // Without this a second server would silently share the port.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  }

  SessionTable sessions_;
  LinkService service_;
  WorkerFilesService files_;
  std::optional<HostPort> remote_address_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinkSocket>> LinkSocket::Create(
    const std::filesystem::path& directory) {
  if (FitsSocketAddress(directory / kSocketName)) {
    if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
      const std::error_code error(errno, std::generic_category());
      return absl::PermissionDeniedError("Cannot make the folder " + directory.string() + ": " +
                                         error.message() + ".");
    }
    return std::unique_ptr<LinkSocket>(new LinkSocket(directory / kSocketName, false));
  }
  std::string pattern = "/tmp/atelier-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return absl::PermissionDeniedError("Cannot make a folder for the workers' socket in /tmp.");
  }
  return std::unique_ptr<LinkSocket>(
      new LinkSocket(std::filesystem::path(pattern) / kSocketName, true));
}

LinkSocket::~LinkSocket() {
  ::unlink(path_.c_str());
  if (temporary_) {
    ::rmdir(path_.parent_path().c_str());
  }
}

absl::StatusOr<std::unique_ptr<LinkServer>> LinkServer::Create(
    const LinkSocket& socket, const WorkerSession::Context& context,
    const std::optional<RemotePort>& remote) {
  auto server = std::make_unique<GrpcLinkServer>(context);
  if (absl::Status status = server->Start(socket, remote); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace atelier::server
