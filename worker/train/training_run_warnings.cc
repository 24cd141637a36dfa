// TrainingRun: what it warns of.
#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <optional>
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
  ATELIER_RETURN_IF_ERROR(WarnOfBroken(Finding::Set::kContent, sets_.content));
  if (sets_.held_out) {  // else it is the content set
    ATELIER_RETURN_IF_ERROR(WarnOfBroken(Finding::Set::kEvaluation, sets_.evaluation));
  }
  return style() == nullptr ? absl::OkStatus() : WarnOfBroken(Finding::Set::kStyle, *style());
}

absl::Status TrainingRun::WarnOfBroken(Finding::Set set, const ImageFolder& folder) {
  for (const std::string& file : folder.TakeBroken()) {
    ATELIER_RETURN_IF_ERROR(Found({.kind = Finding::Kind::kBroken, .set = set, .text = file}));
  }
  for (const std::string& file : folder.TakeWithoutEdges()) {
    ATELIER_RETURN_IF_ERROR(
        Found({.kind = Finding::Kind::kWithoutEdges, .set = set, .text = file}));
  }
  return absl::OkStatus();
}

absl::Status TrainingRun::Found(const Finding& finding) {
  if (part_.writes()) {
    return Tell(finding);
  }
  notes_.push_back(ToNote(finding));
  return absl::OkStatus();
}

absl::Status TrainingRun::Tell(const Finding& finding) {
  const std::optional<Findings::Number> number = findings_.Add(finding);
  if (!number.has_value()) {
    return absl::OkStatus();
  }
  const bool of_style = finding.set == Finding::Set::kStyle;
  const ImageFolder& folder =
      of_style ? *style()
               : (finding.set == Finding::Set::kContent ? sets_.content : sets_.evaluation);
  const std::string about =
      absl::StrCat("data set ", of_style ? job_.config.style_dataset : job_.config.content_dataset,
                   ": ", finding.text);
  const std::string count = absl::StrCat(number->of_set, " of ", folder.size());
  switch (finding.kind) {
    case Finding::Kind::kBroken:
      return WarnOfFile(absl::StrCat(about, "; another picture takes its place (", count,
                                     " files broken so far)"),
                        number->of_kind);
    case Finding::Kind::kWithoutEdges:
      return WarnOfFile(
          absl::StrCat(about,
                       " has no edges to draw: its input is an empty sheet, from which nothing can "
                       "be learnt but to invent the picture; take it out (",
                       count, " so far)"),
          number->of_kind);
    case Finding::Kind::kSlow:
      return Warn(finding.text);
  }
  return absl::OkStatus();
}

absl::Status TrainingRun::WarnOfFile(const std::string& sentence, std::size_t nth) {
  return nth > kMaxSkippedWarnings ? log_.Line(sentence) : Warn(sentence);
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
