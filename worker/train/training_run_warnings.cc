// TrainingRun: what it warns of.
#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/train/training_run.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxSkippedWarnings = 20;

bool HasFastBf16() {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  for (const char* name : {"avx512_bf16", "amx_bf16", "bf16"}) {  // the last on ARM
    const auto found = capabilities.find(name);
    if (found != capabilities.end() && found->second.isBool() && found->second.toBool()) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::Status TrainingRun::Warn(const std::string& sentence) {
  if (!part_.writes()) {
    return absl::OkStatus();
  }
  observer_.OnWarning(sentence);
  return log_.Warning(sentence);
}

absl::Status TrainingRun::WarnOfSkipped(const std::string& name, const ImageFolder& folder) {
  const auto& skipped = folder.skipped();
  for (std::size_t i = 0; i < std::min(skipped.size(), kMaxSkippedWarnings); ++i) {
    ATELIER_RETURN_IF_ERROR(Warn("skipped " + skipped[i]));
  }
  return skipped.empty() ? absl::OkStatus()
                         : Warn("data set " + name + ": " + std::to_string(skipped.size()) +
                                (skipped.size() == 1 ? " unreadable file skipped, "
                                                     : " unreadable files skipped, ") +
                                std::to_string(folder.size()) + " pictures used");
}

absl::Status TrainingRun::WarnOfBroken() {
  const TrainConfig& config = job_.config;
  ATELIER_RETURN_IF_ERROR(WarnOfBroken(config.content_dataset, sets_.content));
  ATELIER_RETURN_IF_ERROR(WarnOfBroken(config.content_dataset, sets_.evaluation));
  return style() == nullptr ? absl::OkStatus() : WarnOfBroken(config.style_dataset, *style());
}

absl::Status TrainingRun::WarnOfBroken(const std::string& name, const ImageFolder& folder) {
  for (const std::string& file : folder.TakeBroken()) {
    broken_.push_back(file);
    ATELIER_RETURN_IF_ERROR(WarnOfFile(
        absl::StrCat("data set ", name, ": ", file, "; another picture takes its place (",
                     folder.broken(), " of ", folder.size(), " files broken so far)"),
        broken_.size()));
  }
  for (const std::string& file : folder.TakeWithoutEdges()) {
    ++without_edges_;
    ATELIER_RETURN_IF_ERROR(
        WarnOfFile(absl::StrCat("data set ", name, ": ", file,
                                " has no edges to draw: its input is an empty sheet, from which "
                                "nothing can be learnt but to invent the picture; take it out (",
                                folder.without_edges(), " of ", folder.size(), " so far)"),
                   without_edges_));
  }
  return absl::OkStatus();
}

// Each rank reads other pictures, so each tells what it finds.
absl::Status TrainingRun::WarnOfFile(const std::string& sentence, std::size_t nth) {
  const std::string told =
      absl::StrCat(part_.writes() ? "" : absl::StrCat("rank ", part_.rank(), ": "), sentence);
  if (nth > kMaxSkippedWarnings) {
    return log_.Line(told);
  }
  observer_.OnWarning(told);
  return log_.Warning(told);
}

absl::Status TrainingRun::WarnOfSlowPrecision() {
  const bool slow = job_.config.precision == Precision::kBf16 && device_.is_cpu() && !HasFastBf16();
  return slow ? Warn(
                    "this processor has no instructions for bf16, which is computed in software: "
                    "PRECISION_FP32 is several times as fast here")
              : absl::OkStatus();
}

absl::Status TrainingRun::WarnOfPadding() {
  const std::string unet = "unet-";
  const std::string& generator = job_.config.generator;
  int multiple = 0;
  if (!generator.starts_with(unet) || !absl::SimpleAtoi(generator.substr(unet.size()), &multiple)) {
    return absl::OkStatus();
  }
  const int side = job_.config.image_size;
  const int padded = (side + multiple - 1) / multiple * multiple;
  if (padded == side) {
    return absl::OkStatus();
  }
  std::string fitting;
  for (const int other : {64, 128, 256}) {
    fitting =
        side % other == 0 ? absl::StrCat("use the generator \"", unet, other, "\" or ") : fitting;
  }
  return Warn(absl::StrCat("the generator \"", generator, "\" pads every picture of ", side,
                           " px to ", padded, " px, ", padded * padded / side / side,
                           " times the work; ", fitting.empty() ? "use " : fitting,
                           "an image_size that is a multiple of ", multiple));
}

}  // namespace atelier::train
