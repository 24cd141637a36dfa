#include "worker/train/image_folder.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/resize.h"
#include "worker/train/side_threads.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxFiles = 200'000;

std::vector<std::filesystem::path> ListPictures(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(directory, error), end;
       !error && it != end && paths.size() <= kMaxFiles; it.increment(error)) {
    if (it.depth() >= 1 && it->is_directory(error)) {
      it.disable_recursion_pending();
    }
    if (it->is_regular_file(error) && HasPictureExtension(it->path())) {
      paths.push_back(it->path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

image::Size TargetSize(image::Size size, const ImageFolder::Options& options) {
  if (options.long_side > 0) {
    size = image::FitLongSide(size, options.long_side);
  } else if (options.short_side > 0) {
    size = image::FitShortSide(size, options.short_side);
  }
  if (std::min(size.height, size.width) < options.min_side) {
    size = image::FitShortSide(size, options.min_side);
  }
  return size;
}

}  // namespace

absl::StatusOr<ImageFolder> ImageFolder::Open(const Options& options) {
  ImageFolder folder;
  folder.options_ = options;
  const std::vector<std::filesystem::path> paths = ListPictures(options.directory);
  if (paths.size() > kMaxFiles) {
    return absl::ResourceExhaustedError("a data set may hold at most 200000 pictures");
  }
  ATELIER_ASSIGN_OR_RETURN(std::vector<absl::StatusOr<Decoded>> files, folder.DecodeAll(paths));
  std::string contents;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    absl::StatusOr<Decoded>& file = files[i];
    if (!file.ok()) {
      folder.skipped_.push_back(paths[i].filename().string() + ": " +
                                std::string(file.status().message()));
      continue;
    }
    contents += paths[i].lexically_relative(options.directory).generic_string();
    contents += "\n" + file->sha256 + "\n";
    folder.entries_.push_back(
        {.path = paths[i], .pixels = std::move(file->pixels), .original = file->original});
  }
  folder.digest_ = Sha256Hex(contents);
  folder.digested_ = folder.size();
  if (folder.entries_.empty()) {
    return absl::FailedPreconditionError(
        "the data set holds no readable picture; it needs JPEG, PNG or WebP files with sides of 16 "
        "to "
        "4096 px");
  }
  folder.FindLabels();
  return folder;
}

ImageFolder ImageFolder::Subset(const std::vector<std::int64_t>& places) const {
  ImageFolder subset;
  subset.options_ = options_;
  subset.labels_ = labels_;
  subset.skipped_ = skipped_;
  subset.digest_ = digest_;
  subset.digested_ = digested_;
  for (const std::int64_t place : places) {
    subset.entries_.push_back(entries_.at(static_cast<std::size_t>(place)));
  }
  return subset;
}

void ImageFolder::FindLabels() {
  const auto label_of = [this](const Entry& entry) {
    const std::filesystem::path parent = entry.path.parent_path();
    return parent == options_.directory ? std::string() : parent.filename().string();
  };
  std::map<std::string, std::int64_t> places;
  for (const Entry& entry : entries_) {
    places.emplace(label_of(entry), 0);
  }
  for (auto& [label, place] : places) {
    place = static_cast<std::int64_t>(labels_.size());
    labels_.push_back(label);
  }
  for (Entry& entry : entries_) {
    entry.label = places.at(label_of(entry));
  }
}

absl::StatusOr<torch::Tensor> ImageFolder::Load(std::int64_t index) const {
  const Entry& entry = entries_.at(static_cast<std::size_t>(index));
  if (entry.pixels.defined()) {
    return entry.pixels;
  }
  absl::StatusOr<Decoded> file = Decode(entry.path);
  if (!file.ok()) {
    return absl::DataLossError(entry.path.filename().string() +
                               " could be read when the job began but no longer can: " +
                               std::string(file.status().message()));
  }
  return std::move(file->pixels);
}

absl::StatusOr<ImageFolder::Loaded> ImageFolder::LoadOrReplace(std::int64_t index,
                                                               KeyedRandom random) const {
  std::int64_t place = index;
  // Ends, because each round meets a readable picture or one more of at most half that are not.
  for (std::int64_t tried = 0;; ++tried) {
    if (!broken_->Contains(place)) {
      absl::StatusOr<torch::Tensor> pixels = Load(place);
      if (pixels.ok()) {
        return Loaded{.place = place, .pixels = *std::move(pixels)};
      }
      broken_->Add(place, std::string(pixels.status().message()));
    }
    // Known ones count, too: whoever comes later must not go on where another gave up.
    if (2 * broken_->count() > size()) {
      return absl::DataLossError(std::to_string(broken_->count()) + " of the " +
                                 std::to_string(size()) + " pictures of the data set " +
                                 options_.name + " can no longer be read (" + broken_->last() +
                                 "); put them back, then resume from the last checkpoint");
    }
    place = tried == 0 ? random.Below(size()) : (place + 1) % size();
  }
}

// In the order of `paths`; what has no place in the cache comes back without its pixels.
absl::StatusOr<std::vector<absl::StatusOr<ImageFolder::Decoded>>> ImageFolder::DecodeAll(
    const std::vector<std::filesystem::path>& paths) const {
  std::vector<absl::StatusOr<Decoded>> files(paths.size(), absl::UnknownError("not read"));
  std::atomic<std::uint64_t> cached = 0;
  const auto read = [&](std::int64_t i) {
    absl::StatusOr<Decoded>& file = files[static_cast<std::size_t>(i)];
    file = Decode(paths[static_cast<std::size_t>(i)]);
    if (file.ok()) {
      const auto bytes = static_cast<std::uint64_t>(file->pixels.numel());
      if (cached.fetch_add(bytes) + bytes > options_.cache_bytes) {
        cached.fetch_sub(bytes);
        file->pixels = torch::Tensor();
      }
    }
    return absl::OkStatus();
  };
  ATELIER_RETURN_IF_ERROR(
      OnSideThreads(SideThreads(options_.threads), static_cast<std::int64_t>(paths.size()), read));
  return files;
}

absl::StatusOr<ImageFolder::Decoded> ImageFolder::Decode(const std::filesystem::path& path) const {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxImageBytes));
  ATELIER_ASSIGN_OR_RETURN(const image::DecodedImage decoded, image::DecodeImage(bytes));
  const image::Size size{static_cast<int>(decoded.rgb.size(0)),
                         static_cast<int>(decoded.rgb.size(1))};
  const image::Size target = TargetSize(size, options_);
  return Decoded{.pixels = image::Resize(decoded.rgb, target.height, target.width),
                 .original = size,
                 .sha256 = Sha256Hex(bytes)};
}

}  // namespace atelier::train
