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
#include "common/pixel_layout.h"
#include "common/style_mix.h"
#include "common/train_config.h"

namespace atelier::worker {

// Which weights to use, and how their pictures are put together.
struct ModelSource {
  std::string name;
  std::uint32_t version = 0;
  std::string directory;
  std::string weights_sha256;
  std::uint32_t batch_max_size = 1;  // pictures computed together; 0 means 1
  absl::Duration batch_max_delay;    // that a picture waits for others while the device is free
};

// The name says nothing about the weights, and batching may be set anew while a model is loaded.
inline bool SameModel(const ModelSource& a, const ModelSource& b) {
  return a.directory == b.directory && a.version == b.version &&
         a.weights_sha256 == b.weights_sha256;
}

// Set by the link's side, from any thread, when nobody wants a task's result any more; which task
// it is is told by the flag's address.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct StylizeTask {
  std::string request_id;  // for the log
  ModelSource model;
  std::string image;                           // as `layout` says
  PixelLayout layout = PixelLayout::kEncoded;  // of the picture and of the result
  std::uint32_t width = 0;                     // pixels; of a picture that is not encoded
  std::uint32_t height = 0;
  absl::Time deadline = absl::InfiniteFuture();
  float strength = 1;  // 0..1
  bool preserve_color = false;
  std::uint32_t size = 0;  // the result's long side, 16..4096 pixels; 0: the input's size
  std::optional<ImageFormat> format;   // unset: the input's
  int quality = 95;                    // 1..100
  std::optional<Precision> precision;  // unset: the model's
  std::vector<StyleShare> mix;         // of the model's classes; empty: its first
  std::string style_image;             // encoded; empty: none
  bool deterministic = false;          // not to be computed together with others
  CancelFlag cancelled = std::make_shared<std::atomic<bool>>(false);
};

// What the outcome of every task tells.
struct OutcomeFacts {
  // Not OK: a sentence for the caller, free of paths and exception text, with the field at fault as
  // payload (common/errors.h). There are no pictures then.
  absl::Status status;
  bool model_failed = false;  // not OK because the model could not be loaded
  // What the worker's own log should say besides; never sent.
  std::string log_detail;
  Precision precision = Precision::kFp32;
  std::vector<std::string> warnings;
  absl::Duration load;  // waiting for the model; about zero when it was there
  absl::Duration compute;
  absl::Duration encode;  // colour, strength, resizing and encoding
};

struct StylizeOutcome : OutcomeFacts {
  std::string image;  // as `layout` says
  PixelLayout layout = PixelLayout::kEncoded;
  ImageFormat format = ImageFormat::kJpeg;  // of an encoded one
  int width = 0;
  int height = 0;
  absl::Duration decode;
  std::uint32_t batch_size = 0;  // pictures in its dispatch, itself included; 0: none was computed
};

// Patterns from noise, all of one request.
struct GenerateTask {
  std::string request_id;  // for the log
  ModelSource model;
  absl::Time deadline = absl::InfiniteFuture();
  std::vector<std::uint64_t> seeds;             // one a picture, 1..8
  std::optional<std::uint64_t> interpolate_to;  // from the first seed, in as many steps as seeds
  double truncation = 1;                        // 0..1
  std::vector<std::uint32_t> labels;            // places in the model's classes, one a picture
  std::vector<std::string> words;               // of the model's vocabulary
  std::uint32_t size = 0;                       // a side, 16..1024 pixels; 0: the model's own
  ImageFormat format = ImageFormat::kPng;
  int quality = 95;                    // 1..100
  std::optional<Precision> precision;  // unset: the model's
  CancelFlag cancelled = std::make_shared<std::atomic<bool>>(false);
};

struct GeneratedPicture {
  std::string image;  // encoded
  int width = 0;
  int height = 0;
};

struct GenerateOutcome : OutcomeFacts {
  std::vector<GeneratedPicture> pictures;
  ImageFormat format = ImageFormat::kPng;
};

// Work that returns what it is sent: for measuring what the way through the worker costs.
struct IdentityTask {
  std::string request_id;  // for the log; empty
  std::string payload;
  absl::Time deadline = absl::InfiniteFuture();
  CancelFlag cancelled = std::make_shared<std::atomic<bool>>(false);
};

struct IdentityOutcome {
  absl::Status status;  // CANCELLED or DEADLINE_EXCEEDED; there is no payload then
  std::string log_detail;
  std::string payload;
};

// A model came into memory or left it, or one that was to be kept could not be loaded.
struct ModelEvent {
  enum class State { kReady, kFailed, kUnloaded };
  ModelSource model;
  State state = State::kReady;
  absl::Status status;      // of kFailed: a sentence free of paths
  std::string log_detail;   // of kFailed: what the worker's own log should say besides
  std::uint64_t bytes = 0;  // of kReady: its weights in memory
  std::uint64_t order = 0;  // the ModelCache::Keep that this answers; 0: nobody asked
};

}  // namespace atelier::worker
