#include "client/api/picture_stream.h"

#include <grpcpp/client_context.h>

#include <optional>
#include <thread>
#include <utility>

#include "client/api/call.h"

namespace atelier::client {

absl::Status RunPictureStream(v1::StylizeService::StubInterface& stub, const std::string& server,
                              const Client::NextPicture& next, const Client::OnPicture& on_answer) {
  grpc::ClientContext context;
  const auto stream = stub.StylizeStream(&context);
  absl::Status sent;
  std::thread sender([&] {
    while (true) {
      absl::StatusOr<std::optional<v1::StylizeRequest>> request = next();
      if (!request.ok()) {
        sent = request.status();
        return context.TryCancel();
      }
      if (!request->has_value()) {
        stream->WritesDone();
        return;
      }
      v1::StylizeStreamRequest message;
      *message.mutable_request() = **std::move(request);
      if (!stream->Write(message)) {
        return;  // the stream has ended; Finish says why
      }
    }
  });
  absl::Status taken;
  v1::StylizeStreamResponse answer;
  while (taken.ok() && stream->Read(&answer)) {
    taken = on_answer(std::move(answer));
    answer.Clear();
  }
  if (!taken.ok()) {
    context.TryCancel();
  }
  sender.join();
  const grpc::Status status = stream->Finish();
  for (const absl::Status& of_caller : {taken, sent}) {
    if (!of_caller.ok()) {
      return of_caller;
    }
  }
  return status.ok() ? absl::OkStatus() : CallError(status, server, absl::InfiniteDuration());
}

}  // namespace atelier::client
