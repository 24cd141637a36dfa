// A data set on disk: the pictures in a folder and one level below, in the order of their paths.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/image/resize.h"
#include "worker/train/broken_files.h"
#include "worker/train/random.h"

namespace atelier::train {

// Not thread-safe to open, then its pictures never change: they may be loaded from any thread.
// Copies share the decoded pictures and the records of files.
class ImageFolder {
 public:
  struct Options {
    std::filesystem::path directory;
    std::string name;    // for messages
    int short_side = 0;  // pictures are resized to it when `long_side` is 0
    int long_side = 0;
    int min_side = 0;  // ... and grown until no side is below it
    // Decoded and resized pictures are kept in memory up to this; the others are decoded again
    // whenever they are needed. None is ever dropped for another: every epoch needs each once, in
    // an order of its own, for which no choice of pictures is better than any. Unit: bytes.
    std::uint64_t cache_bytes = 1ull << 30;
    int threads = 0;  // that read while it is opened: SideThreads
  };

  // Decodes every file once, in several threads, so that broken ones are known before the first
  // step: they are left out, and named in skipped(). FAILED_PRECONDITION: not one readable picture;
  // RESOURCE_EXHAUSTED: more than 200,000 files, memory full.
  static absl::StatusOr<ImageFolder> Open(const Options& options);

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }

  // The pictures with these places, in this order, as a folder of their own: it shares the decoded
  // pictures, and has all labels() and skipped() of this one.
  ImageFolder Subset(const std::vector<std::int64_t>& places) const;

  // uint8 [H, W, 3], resized. DATA_LOSS: its file can no longer be read.
  absl::StatusOr<torch::Tensor> Load(std::int64_t index) const;

  struct Loaded {
    std::int64_t place = 0;
    torch::Tensor pixels;  // as of Load
  };
  // The picture, or, where its file can no longer be read, the first readable one from a place on
  // that `random` draws; what is broken is noted for TakeBroken and not tried again. DATA_LOSS:
  // more than half of the pictures are broken.
  absl::StatusOr<Loaded> LoadOrReplace(std::int64_t index, KeyedRandom random) const;

  // A sentence on each file that LoadOrReplace has found broken since this was last asked, and how
  // many there are by now.
  std::vector<std::string> TakeBroken() const { return broken_->TakeNew(); }
  std::int64_t broken() const { return broken_->count(); }

  // Notes a picture of which DrawEdges gave an empty sheet, once; and as TakeBroken the names of
  // those that were noted since this was last asked.
  void NoteWithoutEdges(std::int64_t place) const {
    without_edges_->Add(place, path(place).filename().string());
  }
  std::vector<std::string> TakeWithoutEdges() const { return without_edges_->TakeNew(); }

  // SHA-256 of the names (below the folder) and contents of all readable files, in hexadecimal: the
  // whole folder's in a subset, too. Files that were left out count for nothing, as in training.
  const std::string& digest() const { return digest_; }
  // Pictures in the whole folder.
  std::int64_t digested() const { return digested_; }

  // The names of the folders that hold the pictures, sorted; pictures beside them have the label
  // "".
  const std::vector<std::string>& labels() const { return labels_; }
  // The picture's place in labels().
  std::int64_t label(std::int64_t index) const {
    return entries_.at(static_cast<std::size_t>(index)).label;
  }

  // Its file, and its size there, upright, before it was resized.
  const std::filesystem::path& path(std::int64_t index) const {
    return entries_.at(static_cast<std::size_t>(index)).path;
  }
  image::Size original(std::int64_t index) const {
    return entries_.at(static_cast<std::size_t>(index)).original;
  }

  // "name: reason" of each file that was left out.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  struct Entry {
    std::filesystem::path path;
    torch::Tensor pixels;  // undefined when not cached
    image::Size original;
    std::int64_t label = 0;
  };
  // What a file holds.
  struct Decoded {
    torch::Tensor pixels;
    image::Size original;
    std::string sha256;
  };

  absl::StatusOr<std::vector<absl::StatusOr<Decoded>>> DecodeAll(
      const std::vector<std::filesystem::path>& paths) const;
  absl::StatusOr<Decoded> Decode(const std::filesystem::path& path) const;
  void FindLabels();

  Options options_;
  std::vector<Entry> entries_;
  std::vector<std::string> labels_;
  std::vector<std::string> skipped_;
  std::string digest_;
  std::int64_t digested_ = 0;
  std::shared_ptr<BrokenFiles> broken_ = std::make_shared<BrokenFiles>();
  std::shared_ptr<BrokenFiles> without_edges_ = std::make_shared<BrokenFiles>();
};

}  // namespace atelier::train
