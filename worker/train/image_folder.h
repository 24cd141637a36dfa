// A data set on disk: the pictures in a folder and one level below, in the order of their paths.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::train {

// Not thread-safe to open, then immutable: Load may be called from any thread.
class ImageFolder {
 public:
  struct Options {
    std::filesystem::path directory;
    int short_side = 0;  // pictures are resized to it when `long_side` is 0
    int long_side = 0;
    int min_side = 0;  // ... and grown until no side is below it
    // Decoded pictures are kept in memory up to this; the others are decoded again when they are
    // needed. Unit: bytes.
    std::uint64_t cache_bytes = 1ull << 30;
  };

  // Decodes every file once, so that broken ones are known before the first step: they are left
  // out, and named in skipped(). FAILED_PRECONDITION: not one readable picture; RESOURCE_EXHAUSTED:
  // more than 200,000 files.
  static absl::StatusOr<ImageFolder> Open(const Options& options);

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }

  // The pictures with these places, in this order, as a folder of their own: it shares the decoded
  // pictures, and has all labels() and skipped() of this one.
  ImageFolder Subset(const std::vector<std::int64_t>& places) const;

  // uint8 [H, W, 3], resized. DATA_LOSS: the file has changed or vanished since Open.
  absl::StatusOr<torch::Tensor> Load(std::int64_t index) const;

  // The names of the folders that hold the pictures, sorted; pictures beside them have the label
  // "".
  const std::vector<std::string>& labels() const { return labels_; }
  // The picture's place in labels().
  std::int64_t label(std::int64_t index) const {
    return entries_.at(static_cast<std::size_t>(index)).label;
  }

  // "name: reason" of each file that was left out.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  struct Entry {
    std::filesystem::path path;
    torch::Tensor pixels;  // undefined when not cached
    std::int64_t label = 0;
  };

  absl::StatusOr<torch::Tensor> Decode(const std::filesystem::path& path) const;
  void FindLabels();

  Options options_;
  std::vector<Entry> entries_;
  std::vector<std::string> labels_;
  std::vector<std::string> skipped_;
};

}  // namespace atelier::train
