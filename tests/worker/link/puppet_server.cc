#include "tests/worker/link/puppet_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace atelier::test {

using internal::v1::ServerMessage;

namespace {

constexpr absl::Duration kTimeout = absl::Seconds(20);

}  // namespace

PuppetServer::PuppetServer(Options options) : options_(std::move(options)) {
  address_ = options_.tcp ? "127.0.0.1:0" : "unix:" + (directory_ / "link.sock").string();
  Start();
}

PuppetServer::~PuppetServer() { Stop(); }

void PuppetServer::Start() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = false;
  }
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.SetMaxSendMessageSize(64 << 20);
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  if (options_.beside != nullptr) {
    builder.RegisterService(options_.beside);
  }
  server_ = builder.BuildAndStart();
  if (options_.tcp) {
    address_ = "127.0.0.1:" + std::to_string(port);
  }
}

void PuppetServer::Stop() {
  if (server_ == nullptr) {
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  // A deadline in the past cuts every call.
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

std::optional<PuppetServer::Received> PuppetServer::Await(Message::MessageCase kind) {
  return AwaitIf([kind](const Message& message) { return message.message_case() == kind; });
}

std::optional<PuppetServer::Received> PuppetServer::AwaitIf(
    const std::function<bool(const Message&)>& wanted) {
  absl::MutexLock lock(&mu_);
  std::list<Received>::iterator found;
  const auto arrived = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    found = std::find_if(received_.begin(), received_.end(),
                         [&](const Received& received) { return wanted(received.message); });
    return found != received_.end();
  };
  if (!mu_.AwaitWithTimeout(absl::Condition(&arrived), kTimeout)) {
    return std::nullopt;
  }
  Received received = std::move(*found);
  received_.erase(found);
  return received;
}

int PuppetServer::Kept(Message::MessageCase kind) {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(std::count_if(
      received_.begin(), received_.end(),
      [&](const Received& received) { return received.message.message_case() == kind; }));
}

void PuppetServer::Send(const ServerMessage& message, bool bulk) {
  absl::MutexLock lock(&mu_);
  const auto up = [&]()
                      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return lines_[bulk].stream != nullptr; };
  if (mu_.AwaitWithTimeout(absl::Condition(&up), kTimeout)) {
    lines_[bulk].stream->Write(message);
  }
}

void PuppetServer::Break(bool bulk) {
  absl::MutexLock lock(&mu_);
  const auto up = [&]()
                      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return lines_[bulk].stream != nullptr; };
  if (mu_.AwaitWithTimeout(absl::Condition(&up), kTimeout)) {
    lines_[bulk].context->TryCancel();
  }
}

void PuppetServer::Pause(bool bulk, bool paused) {
  absl::MutexLock lock(&mu_);
  lines_[bulk].paused = paused;
}

int PuppetServer::half_closes() {
  absl::MutexLock lock(&mu_);
  return half_closes_;
}

grpc::Status PuppetServer::Control(grpc::ServerContext* context,
                                   grpc::ServerReaderWriter<ServerMessage, Message>* stream) {
  return Listen(/*bulk=*/false, context, stream);
}

grpc::Status PuppetServer::Bulk(grpc::ServerContext* context,
                                grpc::ServerReaderWriter<ServerMessage, Message>* stream) {
  return Listen(/*bulk=*/true, context, stream);
}

grpc::Status PuppetServer::Listen(bool bulk, grpc::ServerContext* context,
                                  grpc::ServerReaderWriter<ServerMessage, Message>* stream) {
  const auto may_read = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !lines_[bulk].paused || stopping_ || context->IsCancelled();
  };
  Message message;
  while (stream->Read(&message)) {
    absl::MutexLock lock(&mu_);
    const bool hello = message.has_hello();
    received_.push_back({std::exchange(message, Message()), bulk, context->peer()});
    if (hello && !options_.refusal.ok()) {
      return options_.refusal;
    }
    if (hello && options_.stale.has_value() && !std::exchange(stale_said_, true)) {
      stream->Write(*options_.stale);
      return grpc::Status::OK;
    }
    if (hello && !options_.silent) {
      ServerMessage welcome;
      welcome.mutable_welcome()->set_protocol(options_.protocol);
      welcome.mutable_welcome()->set_session(++sessions_);
      welcome.mutable_welcome()->set_heartbeat_ms(options_.heartbeat_ms);
      for (const internal::v1::LoadModel& load : options_.preload) {
        *welcome.mutable_welcome()->add_preload() = load;
      }
      stream->Write(welcome);
      for (const ServerMessage& message : options_.at_once) {
        stream->Write(message);
      }
    }
    lines_[bulk].context = context;
    lines_[bulk].stream = stream;
    mu_.Await(absl::Condition(&may_read));
  }
  absl::MutexLock lock(&mu_);
  if (lines_[bulk].stream == stream) {
    lines_[bulk].stream = nullptr;
  }
  ++half_closes_;
  // A cancelled call wakes nobody, hence the short naps.
  while (options_.never_ends && !stopping_ && !context->IsCancelled()) {
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Milliseconds(5));
  }
  return grpc::Status::OK;
}

}  // namespace atelier::test
