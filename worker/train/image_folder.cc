#include "worker/train/image_folder.h"

#include <algorithm>
#include <map>

#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/resize.h"

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
  std::uint64_t cached = 0;
  for (const auto& path : paths) {
    absl::StatusOr<torch::Tensor> pixels = folder.Decode(path);
    if (!pixels.ok()) {
      folder.skipped_.push_back(path.filename().string() + ": " +
                                std::string(pixels.status().message()));
      continue;
    }
    const auto bytes = static_cast<std::uint64_t>(pixels->numel());
    const bool keep = cached + bytes <= options.cache_bytes;
    cached += keep ? bytes : 0;
    folder.entries_.push_back({.path = path, .pixels = keep ? *pixels : torch::Tensor()});
  }
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
  absl::StatusOr<torch::Tensor> pixels = Decode(entry.path);
  if (!pixels.ok()) {
    return absl::DataLossError(entry.path.filename().string() +
                               " could be read when the job began but no longer can: " +
                               std::string(pixels.status().message()));
  }
  return pixels;
}

absl::StatusOr<torch::Tensor> ImageFolder::Decode(const std::filesystem::path& path) const {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxImageBytes));
  ATELIER_ASSIGN_OR_RETURN(const image::DecodedImage decoded, image::DecodeImage(bytes));
  const image::Size size{static_cast<int>(decoded.rgb.size(0)),
                         static_cast<int>(decoded.rgb.size(1))};
  const image::Size target = TargetSize(size, options_);
  return image::Resize(decoded.rgb, target.height, target.width);
}

}  // namespace atelier::train
