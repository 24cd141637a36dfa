#include "client/cli/picture_plan.h"

#include <map>
#include <set>
#include <string>
#include <system_error>

#include "client/cli/output.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

std::optional<v1::ImageFormat> FormatOfExtension(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension.empty() ? std::nullopt : FormatOf(extension.substr(1));
}

std::string Extension(v1::ImageFormat format) {
  return format == v1::IMAGE_FORMAT_JPEG ? ".jpg" : "." + FormatText(format);
}

bool IsFolder(const std::string& out) {
  std::error_code ignored;
  return out.empty() || out.back() == '/' || fs::is_directory(out, ignored);
}

Picture PlanInFolder(const fs::path& input, const fs::path& folder,
                     std::optional<v1::ImageFormat> format) {
  const std::optional<v1::ImageFormat> of_input = FormatOfExtension(input);
  fs::path name = input.filename();
  if (format.has_value() && format != of_input) {
    name.replace_extension(Extension(*format));
  } else if (!of_input.has_value()) {
    name.replace_extension();
  }
  return {input, folder / name, format.has_value() ? format : of_input};
}

fs::path Canonical(const fs::path& path) {
  std::error_code error;
  fs::path canonical = fs::weakly_canonical(path, error);
  return error ? path : canonical;
}

// Targets must differ from one another and from the inputs.
absl::Status CheckTargets(const std::vector<Picture>& pictures) {
  std::set<fs::path> inputs;
  for (const Picture& picture : pictures) {
    inputs.insert(Canonical(picture.input));
  }
  std::map<fs::path, fs::path> input_of;
  for (const Picture& picture : pictures) {
    const auto [other, fresh] = input_of.emplace(picture.target, picture.input);
    if (!fresh) {
      return absl::InvalidArgumentError(other->second.string() + " and " + picture.input.string() +
                                        " would both be written to " + picture.target.string() +
                                        "; stylize them into different folders");
    }
    if (inputs.count(Canonical(picture.target)) > 0) {
      return absl::InvalidArgumentError(picture.target.string() +
                                        " is an input and would be overwritten; choose another "
                                        "name or folder");
    }
  }
  return absl::OkStatus();
}

// The format of the one picture that is written to `out`.
absl::StatusOr<v1::ImageFormat> FormatOfFile(const std::string& out,
                                             std::optional<v1::ImageFormat> format) {
  const std::optional<v1::ImageFormat> wanted =
      format.has_value() ? format : FormatOfExtension(out);
  if (!wanted.has_value()) {
    return absl::InvalidArgumentError("the name \"" + out +
                                      "\" does not tell a format; end it in .jpg, .png or "
                                      ".webp, or add --format");
  }
  const fs::path folder = fs::path(out).parent_path();
  if (!folder.empty() && !IsFolder(folder.string())) {
    return absl::InvalidArgumentError("the folder \"" + folder.string() +
                                      "\" does not exist; make it first");
  }
  return *wanted;
}

absl::Status CheckFolder(const std::string& out) {
  if (FormatOfExtension(out).has_value() && !IsFolder(out)) {
    return absl::InvalidArgumentError("several pictures need a folder to go into, and \"" + out +
                                      "\" is the name of a picture");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PicturePlan> PlanPictures(const std::vector<std::string>& inputs,
                                         const std::string& out,
                                         std::optional<v1::ImageFormat> format) {
  PicturePlan plan;
  if (inputs.size() == 1 && !IsFolder(out)) {
    ATELIER_ASSIGN_OR_RETURN(const v1::ImageFormat wanted, FormatOfFile(out, format));
    plan.pictures.push_back({inputs.front(), out, wanted});
  } else {
    ATELIER_RETURN_IF_ERROR(CheckFolder(out));
    plan.folder = out;
    for (const std::string& input : inputs) {
      plan.pictures.push_back(PlanInFolder(input, out, format));
    }
  }
  ATELIER_RETURN_IF_ERROR(CheckTargets(plan.pictures));
  return plan;
}

fs::path ResultPath(const Picture& picture, v1::ImageFormat made, int index, int count) {
  fs::path path = picture.target;
  if (!picture.format.has_value()) {
    path += Extension(made);
  }
  if (count == 1) {
    return path;
  }
  return path.parent_path() /
         (path.stem().string() + "-" + std::to_string(index + 1) + path.extension().string());
}

absl::StatusOr<PatternPlan> PlanPatterns(int count, const std::string& out,
                                         std::optional<v1::ImageFormat> format) {
  if (count == 1 && !IsFolder(out)) {
    ATELIER_ASSIGN_OR_RETURN(const v1::ImageFormat wanted, FormatOfFile(out, format));
    return PatternPlan{.file = out, .format = wanted};
  }
  ATELIER_RETURN_IF_ERROR(CheckFolder(out));
  return PatternPlan{.folder = out, .format = format};
}

fs::path PatternPath(const PatternPlan& plan, const std::string& name, v1::ImageFormat made) {
  return plan.file.empty() ? plan.folder / (name + Extension(made)) : plan.file;
}

}  // namespace atelier::cli
