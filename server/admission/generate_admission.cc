#include "server/admission/generate_admission.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/image_header.h"
#include "common/split_mix.h"
#include "common/status_macros.h"
#include "common/words.h"
#include "server/admission/call_terms.h"
#include "server/admission/controls.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxTextBytes = 200;

// The ranges that hold for every model.
absl::Status CheckRanges(const v1::GenerateRequest& request) {
  const std::uint32_t least = request.has_interpolate_to() ? 2 : 1;
  if (request.has_count() && (request.count() < least || request.count() > kMaxPictures)) {
    return InvalidField(
        "count", least == 1 ? "must be 1 to 8" : "must be 2 to 8 to go from one seed to another");
  }
  if (request.has_size() && (request.size() < static_cast<std::uint32_t>(kMinImageSide) ||
                             request.size() > kMaxPatternSize)) {
    return InvalidField(
        "size", absl::StrCat("must be ", kMinImageSide, " to ", kMaxPatternSize, " pixels"));
  }
  if (request.has_truncation() && !(request.truncation() >= 0 && request.truncation() <= 1)) {
    return InvalidField("truncation", "must be a number from 0 to 1");
  }
  if (request.text().size() > kMaxTextBytes) {
    return InvalidField("text", absl::StrCat("must have at most ", kMaxTextBytes, " bytes"));
  }
  if (request.attributes_size() > static_cast<int>(kMaxCaptionWords)) {
    return InvalidField("attributes", absl::StrCat("must be at most ", kMaxCaptionWords, " words"));
  }
  if (request.has_quality()) {
    ATELIER_RETURN_IF_ERROR(CheckQuality(request.quality()));
  }
  if (request.has_request_id()) {
    ATELIER_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  }
  return TermsOf(request).status();
}

absl::Status CheckCapabilities(const v1::GenerateRequest& request, const ModelVersion& model) {
  if (!MakesPatterns(model)) {
    return InvalidField("model", absl::StrCat("names ", model.name,
                                              ", which restyles pictures and makes none from "
                                              "noise; call StylizeService.Stylize with it, or use "
                                              "another model"));
  }
  const std::pair<const char*, bool> controls[] = {
      {"size", request.has_size()},
      {"seed", request.has_seed()},
      {"label", request.has_label()},
      {"truncation", request.has_truncation()},
      {"precision", request.has_precision()},
      {"text", request.has_text()},
      {"attributes", request.attributes_size() > 0},
  };
  for (const auto& [name, used] : controls) {
    if (used) {
      ATELIER_RETURN_IF_ERROR(CheckCapability(name, model));
    }
  }
  return request.has_interpolate_to() ? CheckCapability("interpolate_to", "interpolation", model)
                                      : absl::OkStatus();
}

bool Knows(const ModelVersion& model, const std::string& word) {
  return std::ranges::find(model.vocabulary, word) != model.vocabulary.end();
}

// A label's place in the model's classes. Every seed has a label of its own where the request names
// none.
absl::Status AdmitLabels(const v1::GenerateRequest& request, GenerateWork& work) {
  const std::vector<std::string>& classes = work.model.classes;
  if (classes.empty()) {
    return absl::OkStatus();
  }
  if (!request.has_label()) {
    for (const std::uint64_t seed : work.seeds) {
      const std::uint64_t of =
          work.interpolate_to.has_value() ? work.seeds.front() : seed;  // one for the whole way
      work.labels.push_back(static_cast<std::uint32_t>(SplitMix(of).Next() % classes.size()));
    }
    return absl::OkStatus();
  }
  const auto found = std::ranges::find(classes, request.label());
  if (found == classes.end()) {
    return InvalidField(
        "label", absl::StrCat("model ", work.model.name, " does not know this label; it knows ",
                              QuotedList(classes)));
  }
  work.labels.assign(work.seeds.size(),
                     static_cast<std::uint32_t>(std::distance(classes.begin(), found)));
  return absl::OkStatus();
}

// Adds a word once: it counts or it does not.
void AddWord(std::string word, GenerateWork& work) {
  if (std::ranges::find(work.words, word) == work.words.end()) {
    work.words.push_back(std::move(word));
  }
}

absl::Status AdmitWords(const v1::GenerateRequest& request, GenerateWork& work) {
  for (const std::string& word : request.attributes()) {
    if (!Knows(work.model, word)) {
      return InvalidField("attributes", absl::StrCat("model ", work.model.name,
                                                     " does not know one of them; it knows ",
                                                     QuotedList(work.model.vocabulary)));
    }
    AddWord(word, work);
  }
  std::vector<std::string> unknown;
  std::size_t known = 0;
  for (std::string& word : SplitWords(request.text())) {
    if (Knows(work.model, word)) {
      ++known;
      AddWord(std::move(word), work);
    } else {
      unknown.push_back(std::move(word));
    }
  }
  if (request.has_text() && known == 0) {
    return InvalidField(
        "text", absl::StrCat("has no word that model ", work.model.name, " knows; it knows ",
                             QuotedList(work.model.vocabulary)));
  }
  if (work.words.size() > kMaxCaptionWords) {
    return InvalidField("text", absl::StrCat("and attributes must have at most ", kMaxCaptionWords,
                                             " words together"));
  }
  if (!unknown.empty()) {
    work.warnings.push_back(absl::StrCat("Words that model ", work.model.name,
                                         " does not know were left out: ", QuotedList(unknown),
                                         "."));
  }
  return absl::OkStatus();
}

}  // namespace

GenerateAdmission::GenerateAdmission(const ModelRegistry& registry, Draws draws)
    : registry_(registry), draws_(std::move(draws)) {}

absl::Status GenerateAdmission::AdmitPictures(const v1::GenerateRequest& request,
                                              GenerateWork& work) const {
  if (request.has_interpolate_to()) {
    work.interpolate_to = request.interpolate_to();
  }
  if (work.seeds.empty()) {
    const std::uint32_t by_default = request.has_interpolate_to() ? kMaxPictures : 1;
    const std::uint32_t count = request.has_count() ? request.count() : by_default;
    const std::uint64_t seed = request.has_seed() ? request.seed() : draws_.seed();
    for (std::uint32_t i = 0; i < count; ++i) {
      work.seeds.push_back(seed + i);  // modulo 2^64, as the proto says
    }
  }
  ATELIER_RETURN_IF_ERROR(AdmitLabels(request, work));
  return AdmitWords(request, work);
}

absl::StatusOr<GenerateWork> GenerateAdmission::Admit(const v1::GenerateRequest& request) const {
  return Admit(request, {});
}

absl::StatusOr<GenerateWork> GenerateAdmission::Admit(const v1::GenerateRequest& request,
                                                      std::vector<std::uint64_t> seeds) const {
  ATELIER_RETURN_IF_ERROR(CheckRanges(request));
  if (request.model().empty()) {
    return InvalidField("model", "is required");
  }
  GenerateWork work;
  work.request_id = request.has_request_id() ? request.request_id() : draws_.request_id();
  work.seeds = std::move(seeds);
  ATELIER_ASSIGN_OR_RETURN(work.model, registry_.Resolve(request.model(), work.request_id));
  ATELIER_RETURN_IF_ERROR(CheckCapabilities(request, work.model));
  ATELIER_ASSIGN_OR_RETURN(const std::optional<ImageFormat> format, FormatOf(request.format()));
  work.format = format.value_or(ImageFormat::kPng);
  ATELIER_ASSIGN_OR_RETURN(work.precision, PrecisionOf(request.precision(), work.model));
  ATELIER_RETURN_IF_ERROR(AdmitPictures(request, work));
  work.truncation = request.has_truncation() ? request.truncation() : 1;
  work.size = request.size();
  work.quality = request.has_quality() ? request.quality() : kDefaultQuality;
  return work;
}

}  // namespace atelier::server
