// One piece of serving work, as plain data between the link's side and the tensors' side.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/image_header.h"
#include "common/train_config.h"

namespace atelier::worker {

// Which weights to use. Two sources are the same model if all fields but the name are equal.
struct ModelSource {
  std::string name;
  std::uint32_t version = 0;
  std::string directory;
  std::string weights_sha256;
};

struct StylizeTask {
  ModelSource model;
  std::string image;  // encoded
  absl::Time deadline = absl::InfiniteFuture();
  float strength = 1;  // 0..1
  bool preserve_color = false;
  std::uint32_t size = 0;  // the result's long side, 16..4096 pixels; 0: the input's size
  std::optional<ImageFormat> format;   // unset: the input's
  int quality = 95;                    // 1..100
  std::optional<Precision> precision;  // unset: the model's
  // Set by the link's side, from any thread, when nobody wants the result any more.
  std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

struct StylizeOutcome {
  // Not OK: a sentence for the caller, free of paths and exception text, with the field at fault as
  // payload (common/errors.h). The fields up to the timings are empty then.
  absl::Status status;
  // What the worker's own log should say besides; never sent.
  std::string log_detail;
  std::string image;  // encoded
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;
  int height = 0;
  Precision precision = Precision::kFp32;
  std::vector<std::string> warnings;
  absl::Duration decode;
  absl::Duration load;  // waiting for the model; about zero when it was there
  absl::Duration compute;
  absl::Duration encode;  // colour, strength, resizing and encoding
};

}  // namespace atelier::worker
