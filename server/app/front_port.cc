#include "server/app/front_port.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/status/status.h"
#include "atelier/v1/datasets.grpc.pb.h"
#include "atelier/v1/generate.grpc.pb.h"
#include "atelier/v1/models.grpc.pb.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<FrontPort>> FrontPort::Create(
    const std::string& listen, const std::vector<grpc::Service*>& services) {
  ATELIER_ASSIGN_OR_RETURN(HostPort address, ParseHostPort("listen", listen));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // Without this a second server would silently share the port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(FormatHostPort(address), grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) {
    builder.RegisterService(service);
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port <= 0) {
    return absl::UnavailableError("cannot listen on " + listen +
                                  "; another program may be using the port");
  }
  address.port = static_cast<std::uint16_t>(port);
  return std::unique_ptr<FrontPort>(new FrontPort(std::move(address), std::move(server)));
}

FrontPort::~FrontPort() { Shutdown(absl::UnixEpoch()); }

void FrontPort::Report(const HealthKeeper::Health& health) {
  grpc::HealthCheckServiceInterface& service = *server_->GetHealthCheckService();
  service.SetServingStatus("", health.serving());
  service.SetServingStatus(v1::StylizeService::service_full_name(), health.serving());
  service.SetServingStatus(v1::GenerateService::service_full_name(), health.serving());
  for (const char* name :
       {v1::TrainingService::service_full_name(), v1::ModelService::service_full_name(),
        v1::DatasetService::service_full_name()}) {
    service.SetServingStatus(name, !health.draining);
  }
}

void FrontPort::Shutdown(absl::Time until) {
  server_->Shutdown(absl::ToChronoTime(until));
  server_->Wait();
}

}  // namespace atelier::server
