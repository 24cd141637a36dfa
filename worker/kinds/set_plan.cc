#include "worker/kinds/set_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "common/image_header.h"
#include "common/picture_path.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;

bool IsHiddenFile(const fs::path& path) { return path.filename().string().starts_with('.'); }

// The pictures in the folder and one level below, as training finds them.
std::vector<fs::path> InputsBelow(const fs::path& directory) {
  std::vector<fs::path> inputs;
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_directory(error) && (it.depth() >= 1 || IsHiddenFile(it->path()))) {
      it.disable_recursion_pending();
    }
    if (!IsHiddenFile(it->path()) && it->is_regular_file(error) &&
        HasPictureExtension(it->path())) {
      inputs.push_back(it->path().lexically_relative(directory));
    }
  }
  std::ranges::sort(inputs);
  return inputs;
}

std::string Extension(ImageFormat format) {
  return format == ImageFormat::kJpeg ? ".jpg" : std::string(".") + ImageFormatName(format);
}

// At most so many bytes, without cutting a UTF-8 character in two.
std::string Shortened(std::string text, std::size_t most) {
  if (text.size() > most) {
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) {
      --most;
    }
    text.resize(most);
  }
  return text;
}

// A name that nobody else in the folder has.
std::string UniqueName(const std::string& stem, const std::string& extension,
                       std::set<std::string>& taken) {
  for (int number = 1;; ++number) {
    const std::string end = (number == 1 ? "" : "-" + std::to_string(number)) + extension;
    std::string name = Shortened(stem, kMaxPictureName - end.size()) + end;
    if (taken.insert(name).second) {
      return name;
    }
  }
}

// The labels of the models' results: "NAME", or "NAME-VERSION" for a name that is given twice.
std::vector<std::string> ModelLabels(const std::vector<std::string>& models) {
  std::vector<std::string> names;
  for (const std::string& model : models) {
    names.push_back(model.substr(0, model.find('@')));
  }
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < models.size(); ++i) {
    std::string label = names[i];
    if (std::ranges::count(names, names[i]) > 1) {
      label += "-" + models[i].substr(names[i].size() + 1);
    }
    // "a-2@1" beside "a@2" and "a@3".
    while (std::ranges::find(labels, label) != labels.end()) {
      label += "-" + std::to_string(i + 1);
    }
    labels.push_back(std::move(label));
  }
  return labels;
}

}  // namespace

absl::StatusOr<SetPlan> PlanSet(const fs::path& directory, const StylizeSetConfig& config) {
  SetPlan plan;
  plan.inputs = InputsBelow(directory);
  if (plan.inputs.empty()) {
    return absl::FailedPreconditionError("the data set " + config.dataset + " holds no picture");
  }
  if (plan.inputs.size() * config.models.size() > kMaxSetPictures) {
    return absl::FailedPreconditionError(
        std::to_string(plan.inputs.size()) + " pictures with " +
        std::to_string(config.models.size()) + " models are more than the " +
        std::to_string(kMaxSetPictures) + " that a data set may hold; use fewer models");
  }
  const bool several = config.models.size() > 1;
  for (const std::string& model_label : ModelLabels(config.models)) {
    std::vector<fs::path> outputs;
    std::map<fs::path, std::set<std::string>> taken;
    for (const fs::path& input : plan.inputs) {
      const std::string label = input.parent_path().string();
      const fs::path folder = several ? fs::path(model_label) : input.parent_path();
      const std::string stem =
          (several && !label.empty() ? label + "-" : "") + input.stem().string();
      const std::string extension =
          config.format.has_value() ? Extension(*config.format) : input.extension().string();
      outputs.push_back(folder / UniqueName(stem, extension, taken[folder]));
    }
    plan.outputs.push_back(std::move(outputs));
  }
  return plan;
}

}  // namespace atelier::kinds
