// Services whose messages are looked at before they are unpacked: for the calls that gRPC unpacks.
// Every message may have 64 MiB, also of those that have no use for it, and protobuf keeps even
// fields that it does not know, each as an object.
#pragma once

#include <google/protobuf/descriptor.h>
#include <grpc/byte_buffer.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/method_handler.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "common/check.h"
#include "common/rpc/grpc_status.h"
#include "server/rpc/message_bytes.h"

namespace atelier::server {

// Runs another handler, with an empty message where the real one would take too much memory;
// `Refusal` tells that one's reactor of it.
class BoundedHandler final : public grpc::internal::MethodHandler {
 public:
  BoundedHandler(const google::protobuf::Descriptor& request, std::unique_ptr<MethodHandler> inner)
      : request_(request), inner_(std::move(inner)) {}

  void* Deserialize(grpc_call* call, grpc_byte_buffer* message, grpc::Status* status,
                    void** data) override;
  void RunHandler(const HandlerParameter& parameter) override;

  // Why the call that is being begun on this thread is refused; null: it is not.
  static const grpc::Status* Refusal();

 private:
  const google::protobuf::Descriptor& request_;
  const std::unique_ptr<MethodHandler> inner_;
};

// `Contract` is generated: "v1::ModelService". `Base`: its methods as callbacks.
template <typename Contract, typename Base = typename Contract::CallbackService>
class BoundedService : public Base {
 protected:
  // In the service's constructor, with all its methods that take one message.
  template <typename Service, typename... Methods>
  void Bound(Service* service, Methods... methods) {
    (BoundOne(service, methods), ...);
  }

 private:
  using Context = grpc::CallbackServerContext;

  template <typename Service, typename Request, typename Response>
  void BoundOne(Service* service,
                grpc::ServerUnaryReactor* (Service::*method)(Context*, const Request*, Response*)) {
    Install<Request>(Response::descriptor(),
                     std::make_unique<grpc::internal::CallbackUnaryHandler<Request, Response>>(
                         [service, method](Context* context, const Request* request,
                                           Response* response) -> grpc::ServerUnaryReactor* {
                           if (const grpc::Status* refusal = BoundedHandler::Refusal();
                               refusal != nullptr) {
                             grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
                             reactor->Finish(*refusal);
                             return reactor;
                           }
                           return (service->*method)(context, request, response);
                         }));
  }

  template <typename Service, typename Request, typename Response>
  void BoundOne(Service* service,
                grpc::ServerWriteReactor<Response>* (Service::*method)(Context*, const Request*)) {
    class Refused final : public grpc::ServerWriteReactor<Response> {
     public:
      explicit Refused(const grpc::Status& status) { this->Finish(status); }
      void OnDone() override { delete this; }
    };
    Install<Request>(
        Response::descriptor(),
        std::make_unique<grpc::internal::CallbackServerStreamingHandler<Request, Response>>(
            [service, method](Context* context,
                              const Request* request) -> grpc::ServerWriteReactor<Response>* {
              const grpc::Status* const refusal = BoundedHandler::Refusal();
              return refusal != nullptr ? new Refused(*refusal)
                                        : (service->*method)(context, request);
            }));
  }

  // In the place of the one method of these messages.
  template <typename Request>
  void Install(const google::protobuf::Descriptor* response,
               std::unique_ptr<grpc::internal::MethodHandler> handler) {
    const google::protobuf::ServiceDescriptor* const contract =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
            Contract::service_full_name());
    ATELIER_CHECK(contract != nullptr);
    int place = -1;
    for (int i = 0; i < contract->method_count(); ++i) {
      const google::protobuf::MethodDescriptor& method = *contract->method(i);
      if (method.input_type() == Request::descriptor() && method.output_type() == response) {
        ATELIER_CHECK(place == -1);
        place = i;
      }
    }
    ATELIER_CHECK(place >= 0);
    this->MarkMethodCallback(place, new BoundedHandler(*Request::descriptor(), std::move(handler)));
  }
};

}  // namespace atelier::server
