#include "worker/train/model_card.h"

#include <string_view>

#include "absl/strings/str_join.h"
#include "common/build_info.h"
#include "common/compress_config.h"
#include "common/dataset_origin.h"
#include "common/family.h"
#include "common/short_number.h"
#include "common/train_settings.h"
#include "worker/train/compression_report.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxNamedFiles = 20;

// A table's cell ends at a bar.
std::string CardCell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    cell += c == '|' ? "\\|" : std::string(1, c);
  }
  return cell;
}

std::string CardRow(const std::string& name, const std::string& value) {
  return "| " + name + " | " + CardCell(value) + " |\n";
}

std::string OrUnknown(const std::string& text) { return text.empty() ? "unknown" : CardCell(text); }

std::string Introduction(const TrainConfig& config, const ModelSpec& spec) {
  const Family* family = FindFamily(spec.family);
  const bool optimizes = family != nullptr && family->optimizes_pixels;
  std::string text = "# Model card\n\n";
  text += optimizes ? "What the family `" + spec.family + "` optimises pictures towards, "
                    : "A `" + spec.family + "` generator, `" + spec.architecture.generator + "`, " +
                          std::to_string(spec.parameters) + " parameters, ";
  text += std::string(config.compresses() ? "made" : "trained") + " by Atelier " + Version() +
          ".\n\n## Intended use and limits\n\n";
  if (family != nullptr && family->from_noise) {
    text +=
        "Makes patterns and pictures of the kind that the data show, as material for designers. "
        "The pictures are invented: they show no product that exists, and may come close to single "
        "training pictures, above all where the data set is small. Look at them, and at the "
        "licences below, before you use them.\n\n";
  } else {
    text +=
        "Restyles photographs of garments, shoes and accessories like those of the content set. "
        "Other subjects, sizes far from " +
        std::to_string(config.image_size) +
        " px and unusual light were not learnt and may come out badly; texts, logos, faces and "
        "fine prints are restyled like everything else and may become unreadable. A result is no "
        "photograph of a product: do not show it as one. Look at the results before you publish "
        "them.\n\n";
  }
  return text;
}

std::string SetRow(const std::string& role, const std::string& name, std::int64_t pictures,
                   const std::filesystem::path& directory) {
  const DatasetOrigin origin = ReadDatasetOrigin(directory);
  return "| " + role + " | " + name + " | " + std::to_string(pictures) + " | " +
         OrUnknown(origin.license) + " | " + OrUnknown(origin.source) + " |\n";
}

std::string SkippedFiles(const std::vector<std::string>& skipped) {
  if (skipped.empty()) {
    return "";
  }
  std::string text = skipped.size() == 1 ? "1 file could not be read and was left out:\n\n"
                                         : std::to_string(skipped.size()) +
                                               " files could not be read and were left out:\n\n";
  for (std::size_t i = 0; i < skipped.size() && i < kMaxNamedFiles; ++i) {
    text += "- " + skipped[i] + "\n";
  }
  return text + "\n";
}

std::string DataSection(const TrainJob& job, const ResultInfo& info) {
  const TrainConfig& config = job.config;
  std::string text =
      "## Data\n\n| set | name | pictures | licence | source |\n|---|---|---|---|---|\n";
  text += SetRow("content", config.content_dataset, info.content_pictures, job.content_directory);
  if (info.held_out > 0) {
    text += SetRow("held out for evaluation", config.content_dataset, info.held_out,
                   job.content_directory);
  }
  if (info.style_pictures > 0) {
    text += SetRow("style", config.style_dataset, info.style_pictures, job.style_directory);
  }
  text +=
      "\nThe licences are what the data sets' owners told when they made them; where one is "
      "unknown, whoever publishes this model finds out and states it.\n\n";
  return text + SkippedFiles(info.skipped);
}

std::string FaststyleRows(const TrainConfig& config) {
  const FaststyleConfig& weight = config.faststyle;
  return CardRow("loss weights", "style " + ShortNumber(weight.style_weight) + ", content " +
                                     ShortNumber(weight.content_weight) + ", luminance " +
                                     ShortNumber(weight.luminance_weight) + ", color " +
                                     ShortNumber(weight.color_weight) + ", chroma " +
                                     ShortNumber(weight.chroma_weight) + ", total variation " +
                                     ShortNumber(weight.total_variation_weight) + ", adversarial " +
                                     ShortNumber(weight.adversarial_weight)) +
         CardRow("scales of the paintings", std::to_string(config.image_size) + " and " +
                                                std::to_string(weight.style_size) + " px");
}

std::string LearningRows(const TrainConfig& config) {
  if (config.family == kQuantize) {  // which learns nothing
    return "";
  }
  return CardRow("learning rate", ShortNumber(config.learning_rate)) +
         CardRow("Adam beta1", ShortNumber(config.adam_beta1)) +
         CardRow("decay of the mean of the weights", ShortNumber(config.ema_decay)) +
         CardRow("largest gradient norm",
                 config.gradient_clip > 0 ? ShortNumber(config.gradient_clip) : "any");
}

std::string TrainingSection(const TrainConfig& config, const ResultInfo& info,
                            const ModelSpec& spec) {
  std::string text = "## Training\n\n| setting | value |\n|---|---|\n";
  if (config.compresses()) {
    text += CardRow("made of", config.compress.model + " by `" + config.family + "`");
  }
  text += CardRow("steps",
                  std::to_string(info.last.step) +
                      (info.last.step < config.steps ? " of " + std::to_string(config.steps) : ""));
  text += CardRow("batch size", std::to_string(config.batch_size * config.accumulate));
  text += CardRow("image size", std::to_string(config.image_size) + " px");
  text += CardRow("seed", std::to_string(config.seed));
  text += LearningRows(config);
  text += CardRow("precision", std::string(PrecisionName(config.precision)) +
                                   (config.precision == Precision::kFp32 ? "" : " autocast"));
  text += CardRow(
      "training time",
      ShortNumber(info.seconds / 3600) + " h, " +
          (info.device == "cpu" ? "CPU threads: " + std::to_string(info.threads) : "on one GPU"));
  if (config.family == "faststyle" || config.family == "multistyle") {
    text += FaststyleRows(config);
  }
  if (!spec.classes.empty()) {
    text += CardRow("labels", absl::StrJoin(spec.classes, ", "));
  }
  return text + "\nAll settings in effect:\n\n```\n" + TrainSettings(config) + "\n```\n";
}

std::string LossSection(const ResultInfo& info) {
  std::string text = "\n## Losses at the last step\n\n| loss | value |\n|---|---|\n";
  for (const auto& [name, value] : info.last.losses) {
    text += CardRow(name, ShortNumber(value));
  }
  return info.last.losses.empty() ? "" : text;
}

std::string EvaluationSection(const TrainConfig& config, const ResultInfo& info) {
  if (!config.evaluate.on()) {
    return "";
  }
  std::string text =
      "\n## Metrics\n\nThese are the weights of step " + std::to_string(info.step) + ". ";
  if (info.best_step >= 0) {
    text += "The best step by `" + config.evaluate.decisive() + "` was " +
            std::to_string(info.best_step) + ", with " + ShortNumber(info.best_metric) + ". ";
  }
  if (info.last.metrics.empty()) {
    return text + "Nothing was measured by then.\n";
  }
  text += "Features are EfficientNet-Lite1's; " + std::to_string(config.evaluate.pictures) +
          " pictures at most. Measured after step " + std::to_string(info.last.metrics_step) +
          ":\n\n| metric | value |\n|---|---|\n";
  for (const auto& [name, value] : info.last.metrics) {
    text += CardRow(name, ShortNumber(value));
  }
  return text;
}

std::string ProvenanceSection(const TrainJob& job, const ResultInfo& info, const ModelSpec& spec) {
  std::string text = "\n## Provenance\n\n| fact | value |\n|---|---|\n";
  text += CardRow("job", job.job_id.empty() ? "none" : job.job_id);
  text += CardRow("weights of step", std::to_string(info.step));
  text += CardRow("code version", std::string("Atelier ") + Version());
  const std::string parent =
      job.config.compresses() ? job.config.compress.model : job.config.init_from;
  text += CardRow("parent model", parent.empty() ? "none: it learnt from random weights" : parent);
  text += CardRow("sha256 of the weights", spec.weights_sha256);
  return text;
}

}  // namespace

std::string TrainingCard(const TrainJob& job, const ResultInfo& info, const ModelSpec& spec) {
  const TrainConfig& config = job.config;
  std::string text = Introduction(config, spec);
  text += DataSection(job, info);
  text += TrainingSection(config, info, spec);
  text += LossSection(info);
  text += config.compresses() ? FormatCompressionReport(info.last.metrics)
                              : EvaluationSection(config, info);
  return text + ProvenanceSection(job, info, spec);
}

}  // namespace atelier::train
