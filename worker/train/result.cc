#include "worker/train/result.h"

#include <cstdio>
#include <system_error>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/build_info.h"
#include "common/compress_config.h"
#include "common/family.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "common/status_macros.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/train/compression_report.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxNamedFiles = 20;

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::string Row(const std::string& name, const std::string& value) {
  return "| " + name + " | " + value + " |\n";
}

std::string DataSection(const TrainJob& job, const ResultInfo& info) {
  std::string text = "## Data\n\n| set | name | pictures |\n|---|---|---|\n";
  text += "| content | " + job.config.content_dataset + " | " +
          std::to_string(info.content_pictures) + " |\n";
  if (info.held_out > 0) {
    text += "| held out for evaluation | " + job.config.content_dataset + " | " +
            std::to_string(info.held_out) + " |\n";
  }
  if (info.style_pictures > 0) {
    text += "| style | " + job.config.style_dataset + " | " + std::to_string(info.style_pictures) +
            " |\n";
  }
  text += "\n";
  text +=
      "Their licences are those of the data sets' owners; whoever publishes this model states them "
      "here.\n\n";
  if (!info.skipped.empty()) {
    text += info.skipped.size() == 1 ? "1 file could not be read and was left out:\n\n"
                                     : std::to_string(info.skipped.size()) +
                                           " files could not be read and were left out:\n\n";
    for (std::size_t i = 0; i < info.skipped.size() && i < kMaxNamedFiles; ++i) {
      text += "- " + info.skipped[i] + "\n";
    }
    text += "\n";
  }
  return text;
}

std::string FaststyleRows(const TrainConfig& config) {
  const FaststyleConfig& weight = config.faststyle;
  return Row("loss weights",
             "style " + Number(weight.style_weight) + ", content " + Number(weight.content_weight) +
                 ", luminance " + Number(weight.luminance_weight) + ", color " +
                 Number(weight.color_weight) + ", chroma " + Number(weight.chroma_weight) +
                 ", total variation " + Number(weight.total_variation_weight) + ", adversarial " +
                 Number(weight.adversarial_weight)) +
         Row("scales of the paintings", std::to_string(config.image_size) + " and " +
                                            std::to_string(weight.style_size) + " px");
}

std::string EvaluationSection(const TrainConfig& config, const ResultInfo& info) {
  if (!config.evaluate.on()) {
    return "";
  }
  std::string text =
      "\n## Metrics\n\nThese are the weights of step " + std::to_string(info.step) + ". ";
  if (info.best_step >= 0) {
    text += "The best step by `" + config.evaluate.decisive() + "` was " +
            std::to_string(info.best_step) + ", with " + Number(info.best_metric) + ". ";
  }
  text += "Features are EfficientNet-Lite1's; " + std::to_string(config.evaluate.pictures) +
          " pictures at most. Measured after step " + std::to_string(info.last.metrics_step) +
          ":\n\n| metric | value |\n|---|---|\n";
  for (const auto& [name, value] : info.last.metrics) {
    text += Row(name, Number(value));
  }
  return text;
}

std::string Card(const TrainJob& job, const ResultInfo& info, const ModelSpec& spec) {
  const TrainConfig& config = job.config;
  const Family* family = FindFamily(spec.family);
  const std::string what =
      family != nullptr && family->optimizes_pixels
          ? "What the family `" + spec.family + "` optimises pictures towards, made by Atelier "
          : "A `" + spec.family + "` generator, `" + spec.architecture.generator + "`, " +
                std::to_string(spec.parameters) + " parameters, trained by Atelier ";
  std::string text = "# Model card\n\n" + what + Version() +
                     (job.job_id.empty() ? "" : ", job `" + job.job_id + "`") + ".\n\n";
  text += DataSection(job, info);
  text += "## Training\n\n| setting | value |\n|---|---|\n";
  if (config.compresses()) {
    text += Row("made of", config.compress.model + " by `" + config.family + "`");
  }
  text += Row("steps",
              std::to_string(info.last.step) +
                  (info.last.step < config.steps ? " of " + std::to_string(config.steps) : ""));
  text += Row("batch size", std::to_string(config.batch_size * config.accumulate));
  text += Row("image size", std::to_string(config.image_size) + " px");
  text += Row("seed", std::to_string(config.seed));
  if (config.family != kQuantize) {  // which learns nothing
    text += Row("learning rate", Number(config.learning_rate));
    text += Row("Adam beta1", Number(config.adam_beta1));
    text += Row("decay of the mean of the weights", Number(config.ema_decay));
    text += Row("largest gradient norm",
                config.gradient_clip > 0 ? Number(config.gradient_clip) : "any");
  }
  text += Row("precision", std::string(PrecisionName(config.precision)) +
                               (config.precision == Precision::kFp32 ? "" : " autocast"));
  text += Row(
      "training time",
      Number(info.seconds / 3600) + " h, " +
          (info.device == "cpu" ? "CPU threads: " + std::to_string(info.threads) : "on one GPU"));
  if (config.family == "faststyle" || config.family == "multistyle") {
    text += FaststyleRows(config);
  }
  if (!spec.classes.empty()) {
    text += Row("labels", absl::StrJoin(spec.classes, ", "));
  }
  text += "\n## Losses at the last step\n\n| loss | value |\n|---|---|\n";
  for (const auto& [name, value] : info.last.losses) {
    text += Row(name, Number(value));
  }
  if (config.compresses()) {
    return text + FormatCompressionReport(info.last.metrics);
  }
  return text + EvaluationSection(config, info);
}

absl::Status WriteFiles(const std::filesystem::path& folder, const TrainJob& job, TrainStep& step,
                        const std::string& preview_jpeg, const ResultInfo& info) {
  models::TensorMap weights;
  for (const auto& [name, tensor] : models::CollectWeights(step.result())) {
    weights[name] = tensor.detach().to(torch::kCPU).contiguous();
  }
  const std::filesystem::path file = folder / "weights.safetensors";
  ATELIER_RETURN_IF_ERROR(models::WriteSafetensors(file, weights, {{"format", "pt"}}));
  ModelSpec spec;
  spec.family = job.config.family;
  step.Describe(spec);
  spec.parameters = models::CountParameters(step.result());
  ATELIER_ASSIGN_OR_RETURN(spec.weights_sha256, Sha256HexOfFile(file));
  spec.weights_bytes = std::filesystem::file_size(file);
  spec.job_id = job.job_id;
  ATELIER_RETURN_IF_ERROR(WriteModelSpec(folder, spec));
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(folder / "card.md", Card(job, info, spec)));
  return WriteFileAtomically(folder / "preview.jpg", preview_jpeg);
}

}  // namespace

absl::Status WriteResult(const std::filesystem::path& directory, const TrainJob& job,
                         TrainStep& step, const std::string& preview_jpeg, const ResultInfo& info) {
  std::filesystem::path staging = directory;
  staging += ".tmp";
  std::error_code error;
  std::filesystem::remove_all(staging, error);
  std::filesystem::remove_all(directory, error);
  std::filesystem::create_directories(staging, error);
  if (error) {
    return absl::ResourceExhaustedError("cannot make the result's folder: " + error.message());
  }
  ATELIER_RETURN_IF_ERROR(WriteFiles(staging, job, step, preview_jpeg, info));
  std::filesystem::rename(staging, directory, error);
  if (error) {
    return absl::InternalError("cannot rename the result's folder: " + error.message());
  }
  return SyncDirectory(directory.parent_path());
}

}  // namespace atelier::train
