// One StylizeStream call of the client: requests go out while answers come in.
#pragma once

#include "absl/status/status.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "client/api/client.h"

namespace atelier::client {

// See Client::StylizeStream. Runs `next` on a thread of its own and `on_answer` on the caller's.
// `server` is for sentences.
absl::Status RunPictureStream(v1::StylizeService::StubInterface& stub, const std::string& server,
                              const Client::NextPicture& next, const Client::OnPicture& on_answer);

}  // namespace atelier::client
