#include "server/inference/served_models.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/models/identity_model.h"

namespace atelier::server {
namespace {

ModelVersion Identity() {
  return {.name = kIdentityModel, .version = kIdentityVersion, .family = kIdentityModel};
}

// 0: not said.
absl::StatusOr<std::uint32_t> VersionNumber(const std::string& text) {
  std::uint32_t number = 0;
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (!text.empty() && (!digits || !absl::SimpleAtoi(text, &number) || number == 0)) {
    return InvalidField("model_version", "must be empty or a decimal number from 1");
  }
  return number;
}

}  // namespace

absl::StatusOr<ModelVersion> ServedModels::Resolve(const std::string& name,
                                                   const std::string& version,
                                                   std::string_view request_id) const {
  ATELIER_RETURN_IF_ERROR(CheckName("model_name", name));
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t number, VersionNumber(version));
  if (IsIdentity(name)) {
    if (number > kIdentityVersion) {
      return NotFoundResource("model", NameAtVersion(name, number),
                              absl::StrCat("there is no version ", number, " of model ", name));
    }
    return Identity();
  }
  absl::StatusOr<ModelVersion> model = number == 0 ? registry_.Resolve(name, request_id)
                                                   : registry_.Resolve(NameAtVersion(name, number));
  if (!model.ok()) {
    return AboutField(model.status(), "model_name");
  }
  return model;
}

std::vector<ModelVersion> ServedModels::List() const {
  std::vector<ModelVersion> models = registry_.List();
  if (identity_) {
    std::erase_if(models, [](const ModelVersion& model) { return model.name == kIdentityModel; });
    models.push_back(Identity());
  }
  return models;
}

std::vector<ModelVersion> ServedModels::VersionsOf(std::string_view name) const {
  std::vector<ModelVersion> models = List();
  std::erase_if(models, [name](const ModelVersion& model) { return model.name != name; });
  return models;
}

bool ServedModels::IsIdentity(std::string_view name) const {
  return identity_ && name == kIdentityModel;
}

}  // namespace atelier::server
