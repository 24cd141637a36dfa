#include "worker/convert/families.h"

#include <algorithm>
#include <vector>

#include "common/errors.h"
#include "common/family.h"
#include "worker/models/complaints.h"
#include "worker/models/expected_shapes.h"

namespace atelier::convert {
namespace {

constexpr char kField[] = "header.family";

// The families that train a generator, the usual one first.
struct FamilyRow {
  std::string_view generator;  // how its name begins
  std::vector<std::string_view> families;
};

const std::vector<FamilyRow>& Rows() {
  static const auto* const rows = new std::vector<FamilyRow>{
      {"resnet-", {"cyclegan", "cut", "pix2pix", "faststyle"}},
      {"unet-", {"pix2pix", "cyclegan", "cut", "faststyle"}},
      {"transformer", {"faststyle", "cyclegan", "cut", "pix2pix"}},
      {"lite", {"faststyle", "cyclegan", "cut", "pix2pix"}},
      {"shared-latent", {"vaegan-pictures"}},
      {"dcgan", {"dcgan", "wgan", "vaegan"}},
  };
  return *rows;
}

// The family's own name for an alias; as it is where there is none.
std::string_view Canonical(std::string_view name) {
  const Family* family = FindFamily(name);
  return family == nullptr ? name : family->name;
}

}  // namespace

absl::StatusOr<std::string> FamilyOf(const Architecture& architecture, std::string_view told) {
  const auto row = std::ranges::find_if(Rows(), [&](const FamilyRow& candidate) {
    return architecture.generator.starts_with(candidate.generator);
  });
  if (told.empty()) {
    return std::string(architecture.antialias ? "cut" : row->families.front());
  }
  std::string list;
  for (const std::string_view family : row->families) {
    if (family == Canonical(told)) {
      return std::string(family);
    }
    list += (list.empty() ? "" : ", ") + std::string(family);
  }
  return InvalidField(kField, "is \"" + models::Printable(told) + "\", but the file is a " +
                                  models::Describe(architecture) +
                                  "; leave it out, or use one of " + list);
}

absl::Status CheckFamily(const ModelSpec& spec, std::string_view told) {
  if (told.empty() || Canonical(told) == spec.family) {
    return absl::OkStatus();
  }
  return InvalidField(kField, "is \"" + models::Printable(told) + "\", but the file's family is " +
                                  spec.family + "; leave it out");
}

}  // namespace atelier::convert
