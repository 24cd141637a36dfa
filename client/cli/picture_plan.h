// Which file each picture of `atelier stylize` and `atelier generate` is written to.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "atelier/v1/types.pb.h"

namespace atelier::cli {

struct Picture {
  std::filesystem::path input;
  // Without its extension when the format is only known from the answer.
  std::filesystem::path target;
  std::optional<v1::ImageFormat> format;  // to ask for
};

struct PicturePlan {
  std::vector<Picture> pictures;
  std::filesystem::path folder;  // to create first; empty: none
};

// One input and an `out` that is no existing folder: a file, whose extension says the format.
// Otherwise `out` is a folder and the pictures keep their names (and formats, unless `format` is
// given). INVALID_ARGUMENT: the format cannot be told, two inputs meet in one file, or an input
// would be overwritten.
absl::StatusOr<PicturePlan> PlanPictures(const std::vector<std::string>& inputs,
                                         const std::string& out,
                                         std::optional<v1::ImageFormat> format);

// Where result `index` of `count` goes; several get "-1", "-2", ... before the extension.
std::filesystem::path ResultPath(const Picture& picture, v1::ImageFormat made, int index,
                                 int count);

// Where generated pictures go.
struct PatternPlan {
  std::filesystem::path file;             // of the only picture; empty: they go into `folder`
  std::filesystem::path folder;           // to create first; empty: none
  std::optional<v1::ImageFormat> format;  // to ask for; nothing: the server's default
};

// One picture and an `out` that is no existing folder: a file, whose extension says the format.
// Otherwise `out` is a folder. INVALID_ARGUMENT: the format cannot be told, or several pictures
// would go into one file.
absl::StatusOr<PatternPlan> PlanPatterns(int count, const std::string& out,
                                         std::optional<v1::ImageFormat> format);

// Where the picture called `name` goes.
std::filesystem::path PatternPath(const PatternPlan& plan, const std::string& name,
                                  v1::ImageFormat made);

}  // namespace atelier::cli
