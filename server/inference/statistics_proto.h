// A model's figures in the words of the protocol. A pure function, thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "inference/grpc_service.pb.h"
#include "server/models/model_statistics.h"

namespace atelier::server {

void ToProto(const std::string& name, std::uint32_t version, const ModelStatistics& statistics,
             inference::ModelStatistics& out);

}  // namespace atelier::server
