#include "server/app/front_port.h"

#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "atelier/v1/admin.grpc.pb.h"
#include "atelier/v1/datasets.grpc.pb.h"
#include "atelier/v1/feedback.grpc.pb.h"
#include "atelier/v1/generate.grpc.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "common/open_files.h"
#include "common/rpc/without_plugins.h"
#include "common/status_macros.h"
#include "inference/grpc_service.grpc.pb.h"

namespace atelier::server {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;
// A call's metadata; ours have a few hundred bytes, tokens a few thousand.
constexpr int kMaxMetadataBytes = 16 << 10;
// Calls on one connection; more wait at the client. Not low: a proxy has one connection for many.
constexpr int kMaxStreams = 1024;
// A connection that does not finish its handshake is dropped. Unit: milliseconds.
constexpr int kHandshakeMs = 20'000;
// A silent connection is asked after this time whether anybody is there, and dropped when no answer
// comes: nothing else tells that the other end was switched off. Unit: milliseconds.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveAnswerMs = 20'000;
// Clients may ping that often; a connection that does it more often than this, three times, is
// dropped (ENHANCE_YOUR_CALM). Unit: milliseconds.
constexpr int kMinPingIntervalMs = 10'000;
constexpr int kMaxPingStrikes = 2;

// Of reflection, the one service that gRPC runs on a thread a stream, and which does not look at
// what a message takes in memory. Streams past it are refused (RESOURCE_EXHAUSTED).
constexpr int kMaxThreads = 16;

// What gRPC may hold of messages that are half sent, of all connections. Past it, it reads more
// slowly and then drops streams. Answers on their way are not in it: the queue counts them.
constexpr std::size_t kMaxTransportBytes = 1ULL << 30;

void SetBounds(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("front port");
  quota.Resize(kMaxTransportBytes);
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveAnswerMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kMaxPingStrikes);
  // gRPC inflates a message before it looks at its size: 300 KiB may become 300 MiB. Pictures do
  // not get smaller by it anyway.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrontPort>> FrontPort::Create(
    const std::string& listen, const std::vector<grpc::Service*>& services,
    const std::shared_ptr<grpc::ServerCredentials>& credentials, bool reflection) {
  ATELIER_ASSIGN_OR_RETURN(HostPort address, ParseHostPort("listen", listen));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  absl::StatusOr<std::unique_ptr<FrontDoor>> door =
      FrontDoor::Listen(address, FrontDoor::LimitsFor(OpenFileLimit()));
  if (!door.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", listen, " (",
                                               door.status().message(),
                                               "); another program may be using the port"));
  }
  address.port = (*door)->port();
  grpc::ServerBuilder builder;
  SetBounds(builder);
  if (!reflection) {
    builder.SetOption(std::make_unique<WithoutPlugins>());
  }
  for (grpc::Service* service : services) {
    builder.RegisterService(service);
  }
  using Connections = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  std::unique_ptr<FrontDoor::Acceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(Connections::FROM_FD, credentials);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::InternalError("gRPC does not start a server for " + listen);
  }
  (*door)->Open(std::move(acceptor));
  return std::unique_ptr<FrontPort>(
      new FrontPort(std::move(address), std::move(server), *std::move(door)));
}

FrontPort::~FrontPort() {
  BeginShutdown();
  FinishShutdown(absl::InfinitePast());
}

void FrontPort::Report(const HealthKeeper::Health& health) {
  grpc::HealthCheckServiceInterface& service = *server_->GetHealthCheckService();
  service.SetServingStatus("", health.serving());
  service.SetServingStatus(v1::StylizeService::service_full_name(), health.serving());
  service.SetServingStatus(v1::GenerateService::service_full_name(), health.serving());
  service.SetServingStatus(inference::GRPCInferenceService::service_full_name(), health.serving());
  for (const char* name :
       {v1::TrainingService::service_full_name(), v1::ModelService::service_full_name(),
        v1::DatasetService::service_full_name(), v1::FeedbackService::service_full_name(),
        v1::AdminService::service_full_name()}) {
    service.SetServingStatus(name, !health.draining);
  }
}

void FrontPort::BeginShutdown() {
  const absl::MutexLock lock(&mutex_);
  if (done_ || shutdown_.joinable()) {
    return;
  }
  door_->Close();
  shutdown_ = std::thread([this] {
    server_->Shutdown();
    server_->Wait();
    const absl::MutexLock done_lock(&mutex_);
    done_ = true;
    changed_.SignalAll();
  });
}

void FrontPort::FinishShutdown(absl::Time until) {
  std::thread shutdown;
  {
    const absl::MutexLock lock(&mutex_);
    while (!done_ && !changed_.WaitWithDeadline(&mutex_, until)) {
    }
    // Again and again, for the shutdown's thread may only now come to close the door to new ones.
    while (!done_) {
      grpc_server_cancel_all_calls(server_->c_server());
      changed_.WaitWithTimeout(&mutex_, absl::Milliseconds(20));
    }
    shutdown = std::move(shutdown_);
  }
  if (shutdown.joinable()) {
    shutdown.join();
  }
}

}  // namespace atelier::server
