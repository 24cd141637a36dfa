#include "client/cli/style_choice.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "client/cli/output.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

// "a=0.6,b=0.4"; a label alone has the weight 1. Nothing when it is not of this form.
std::optional<std::vector<v1::StyleShare>> ParseMix(const std::string& text) {
  std::vector<v1::StyleShare> mix;
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::size_t equals = part.find('=');
    float weight = 1;
    const bool is_number =
        equals == std::string::npos || (absl::SimpleAtof(part.substr(equals + 1), &weight) &&
                                        std::isfinite(weight) && weight >= 0);
    if (!is_number || part.substr(0, equals).empty()) {
      return std::nullopt;
    }
    v1::StyleShare share;
    share.set_label(part.substr(0, equals));
    share.set_weight(weight);
    mix.push_back(share);
  }
  return mix;
}

CLI::Validator IsMix() {
  return CLI::Validator(
      [](const std::string& text) {
        return ParseMix(text).has_value()
                   ? std::string()
                   : text + " is not LABEL=SHARE,... with shares of 0 or above";
      },
      "LABEL=SHARE,...");
}

// The only model with this capability.
absl::StatusOr<std::string> OnlyModelWith(const std::string& capability, client::Client& client) {
  ATELIER_ASSIGN_OR_RETURN(const v1::ListModelsResponse response, client.ListAllModels());
  std::set<std::string> names;
  for (const v1::Model& model : response.models()) {
    if (std::ranges::find(model.capabilities(), capability) != model.capabilities().end()) {
      names.insert(model.name());
    }
  }
  if (names.empty()) {
    return absl::FailedPreconditionError("the server has no model with the capability \"" +
                                         capability + "\"; train one, or give --model");
  }
  if (names.size() > 1) {
    return absl::FailedPreconditionError(
        "several models can do that; choose with --model one of " +
        Join(std::vector<std::string>(names.begin(), names.end()), ", "));
  }
  return *names.begin();
}

absl::Status ReadStyleImage(const std::string& file, v1::StylizeRequest& request) {
  absl::StatusOr<std::string> bytes = ReadFile(file, kMaxImageBytes);
  if (absl::IsResourceExhausted(bytes.status())) {
    return InvalidField("style_image",
                        "the file is larger than 32 MiB, the most a picture may have");
  }
  ATELIER_RETURN_IF_ERROR(bytes.status());
  request.set_style_image(*std::move(bytes));
  return absl::OkStatus();
}

}  // namespace

void AddStyleChoice(CLI::App& command, StyleChoice& choice) {
  command.add_option("--model", choice.model,
                     "NAME, NAME@VERSION or NAME@LABEL; default the only one that can do --mix or "
                     "--style-image");
  command
      .add_option("--mix", choice.mix,
                  "A mixture of the styles that a model knows (models show names their labels), "
                  "for example van-gogh=0.6,renoir=0.4")
      ->check(IsMix());
  command.add_option("--style-image", choice.style_image,
                     "A picture whose style is wanted, for models that take it from there");
}

bool IsGiven(const StyleChoice& choice) {
  return !choice.model.empty() || !choice.mix.empty() || !choice.style_image.empty();
}

absl::Status SetStyle(const StyleChoice& choice, client::Client& client,
                      v1::StylizeRequest& request) {
  if (!choice.style_image.empty()) {
    ATELIER_RETURN_IF_ERROR(ReadStyleImage(choice.style_image, request));
  }
  if (!choice.mix.empty()) {
    const std::vector<v1::StyleShare> mix = *ParseMix(choice.mix);
    request.mutable_mix()->Assign(mix.begin(), mix.end());
  }
  std::string model = choice.model;
  if (model.empty()) {
    ATELIER_ASSIGN_OR_RETURN(
        model, OnlyModelWith(choice.style_image.empty() ? "mix" : "style_image", client));
  }
  request.set_model(model);
  return absl::OkStatus();
}

}  // namespace atelier::cli
