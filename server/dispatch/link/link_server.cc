#include "server/dispatch/link/link_server.h"

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
#include "server/dispatch/link/link_stream.h"

namespace atelier::server {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerLink;
using internal::v1::WorkerMessage;
using Reactor = grpc::ServerBidiReactor<WorkerMessage, ServerMessage>;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr char kSocketName[] = "worker.sock";

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
    std::shared_ptr<WorkerSession> session = sessions_.Open(stream);
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
    auto bulk = std::make_shared<BulkStream>(sessions_, stream);
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
    BulkStream(SessionTable& sessions, const std::shared_ptr<LinkStream>& stream)
        : sessions_(sessions), stream_(stream) {}

    void OnMessage(WorkerMessage message) {
      if (std::shared_ptr<WorkerSession> session = this->session()) {
        return session->OnMessage(WorkerSession::Stream::kBulk, std::move(message));
      }
      const std::shared_ptr<LinkStream> stream = stream_.lock();
      std::shared_ptr<WorkerSession> session =
          message.has_bulk_hello() ? sessions_.Find(message.bulk_hello().session()) : nullptr;
      if (session == nullptr || !session->AttachBulk(stream)) {
        return stream->Close(absl::FailedPreconditionError(
            "A bulk stream must begin with the number of its session."));
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
    absl::Mutex mutex_;
    std::shared_ptr<WorkerSession> session_ ABSL_GUARDED_BY(mutex_);
  };

  SessionTable& sessions_;
};

class GrpcLinkServer final : public LinkServer {
 public:
  explicit GrpcLinkServer(const WorkerSession::Context& context)
      : sessions_(context), service_(sessions_) {}

  ~GrpcLinkServer() override { Stop(); }

  absl::Status Start(const LinkSocket& socket) {
    // Left behind by a server that was killed; the data directory's lock keeps living servers
    // apart.
    ::unlink(socket.path().c_str());
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(kMaxMessageBytes);
    builder.AddListeningPort(socket.address(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || ::chmod(socket.path().c_str(), S_IRUSR | S_IWUSR) != 0) {
      return absl::UnavailableError("Cannot listen for workers on " + socket.path().string() + ".");
    }
    return absl::OkStatus();
  }

  void Stop() override {
    sessions_.CloseAll(absl::UnavailableError("The server is stopping."));
    if (server_ != nullptr && !stopped_.exchange(true)) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
      server_->Wait();
    }
  }

 private:
  SessionTable sessions_;
  LinkService service_;
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
    const LinkSocket& socket, const WorkerSession::Context& context) {
  auto server = std::make_unique<GrpcLinkServer>(context);
  if (absl::Status status = server->Start(socket); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace atelier::server
