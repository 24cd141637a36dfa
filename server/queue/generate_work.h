// What a generate request asks for once it is admitted, and what came of it: plain data, free of
// protobuf and gRPC. One piece of work makes all pictures of a request: a pattern takes
// milliseconds, so that handing them out one by one would cost more than it gained, and one answer
// is whole or an error without anything to join.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/image_header.h"
#include "common/train_config.h"
#include "server/models/model_registry.h"
#include "server/queue/outcome_facts.h"

namespace atelier::server {

// Checked and completed: no field means "unset" unless it says so. Nothing is drawn after
// admission, so that a second worker makes the same pictures as the lost one would have.
struct GenerateWork {
  std::string request_id;
  ModelVersion model;
  std::vector<std::uint64_t> seeds;             // one a picture, 1..8
  std::optional<std::uint64_t> interpolate_to;  // then only the first seed counts
  double truncation = 1;                        // 0..1
  std::vector<std::uint32_t> labels;  // places in model.classes, one a picture; empty: no labels
  std::vector<std::string> words;     // of model.vocabulary
  std::uint32_t size = 0;             // pixels a side; 0: the model's own
  ImageFormat format = ImageFormat::kPng;
  std::uint32_t quality = 95;  // 1..100
  Precision precision = Precision::kFp32;
  std::vector<std::string> warnings;  // of admission, for the reply
};

struct GeneratedPicture {
  std::string image;        // encoded as the work asks
  std::uint32_t width = 0;  // pixels
  std::uint32_t height = 0;
};

struct GenerateOutcome : OutcomeFacts {
  std::vector<GeneratedPicture> pictures;  // as many as seeds, in their order
};

}  // namespace atelier::server
