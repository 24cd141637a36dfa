// What a stylize request asks for once it is admitted, and what came of it: plain data, free of
// protobuf and gRPC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/image_header.h"
#include "common/pixel_layout.h"
#include "common/style_mix.h"
#include "common/train_config.h"
#include "server/models/model_registry.h"
#include "server/queue/outcome_facts.h"

namespace atelier::server {

// Checked and completed: no field means "unset" unless it says so.
struct StylizeWork {
  std::string request_id;
  // As `layout` says; its header was read, or its size checked, and is within the limits.
  std::string image;
  PixelLayout layout = PixelLayout::kEncoded;  // of the picture and of the result
  std::uint32_t width = 0;                     // pixels, before EXIF turns it upright
  std::uint32_t height = 0;
  ModelVersion model;
  float strength = 1.0F;  // 0..1
  bool preserve_color = false;
  std::uint32_t size = 0;             // output's long side in pixels; 0: the input's size
  std::optional<ImageFormat> format;  // nullopt: the input's
  std::uint32_t quality = 95;         // 1..100
  Precision precision = Precision::kFp32;
  std::vector<StyleShare> mix;  // of model.classes; empty: the model's first, or it has none
  std::string style_image;      // encoded, its header was read; empty: the model needs none
  bool deterministic = false;   // not to be computed together with others
};

struct StylizeOutcome : OutcomeFacts {
  std::string image;  // as the work's `layout` says
  PixelLayout layout = PixelLayout::kEncoded;
  ImageFormat format = ImageFormat::kJpeg;  // of an encoded one
  std::uint32_t width = 0;                  // pixels
  std::uint32_t height = 0;
};

}  // namespace atelier::server
