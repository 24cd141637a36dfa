#include "server/transfer/import_header.h"

#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/family.h"
#include "common/model_spec.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/rpc/picture_enums.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxFileName = 255;
constexpr std::size_t kMaxSource = 1000;
constexpr std::size_t kMaxLicense = 200;
constexpr std::size_t kMaxCard = 64 << 10;

// Cards are printed on terminals.
absl::Status CheckLine(std::string_view field, const std::string& text, std::size_t most) {
  if (text.size() > most || !IsPrintable(text)) {
    return InvalidField(field, "must be one line of at most " + std::to_string(most) +
                                   " bytes without control characters");
  }
  return absl::OkStatus();
}

absl::Status CheckCard(const std::string& card) {
  if (card.size() > kMaxCard || !IsPrintableText(card)) {
    return InvalidField(
        "header.card", "must be at most 64 KiB without control characters but line feeds and tabs");
  }
  return absl::OkStatus();
}

absl::Status CheckFamilyName(const std::string& name) {
  if (name.empty() || name == kTorchScript || FindFamily(name) != nullptr) {
    return absl::OkStatus();
  }
  std::string list;
  for (const Family& family : Families()) {
    list += (list.empty() ? "" : ", ") + std::string(family.name);
  }
  return InvalidField("header.family", "is none of the families " + list + ", " + kTorchScript);
}

}  // namespace

absl::Status CheckImportHeader(const v1::ImportModelHeader& header, std::uint64_t max_bytes) {
  ATELIER_RETURN_IF_ERROR(CheckName("header.name", header.name()));
  ATELIER_RETURN_IF_ERROR(CheckFamilyName(header.family()));
  if (header.precision() == v1::PRECISION_INT8) {
    return InvalidField(
        "header.precision",
        "must be FP32 or BF16: quantize jobs make int8 models of others, and a file "
        "exported from one says itself that it is int8");
  }
  if (header.precision() != v1::PRECISION_UNSPECIFIED && !FromProto(header.precision())) {
    return InvalidField("header.precision", "must be FP32 or BF16");
  }
  if (!IsSha256Hex(header.sha256())) {
    return InvalidField("header.sha256", "must be 64 lower-case hexadecimal digits");
  }
  if (header.size() < 1 || header.size() > max_bytes) {
    return InvalidField("header.size", "must be 1 to " + std::to_string(max_bytes) +
                                           " bytes, this server's --max-import-bytes");
  }
  ATELIER_RETURN_IF_ERROR(CheckLine("header.file_name", header.file_name(), kMaxFileName));
  if (header.file_name().find('/') != std::string::npos) {
    return InvalidField("header.file_name", "must be a name without \"/\"");
  }
  ATELIER_RETURN_IF_ERROR(CheckLine("header.source", header.source(), kMaxSource));
  ATELIER_RETURN_IF_ERROR(CheckLine("header.license", header.license(), kMaxLicense));
  return CheckCard(header.card());
}

ImportTask ToImportTask(const v1::ImportModelHeader& header) {
  ImportTask task;
  task.family = header.family();
  task.precision = FromProto(header.precision());
  task.file_name = header.file_name();
  task.sha256 = header.sha256();
  task.source = header.source();
  task.license = header.license();
  task.card = header.card();
  return task;
}

}  // namespace atelier::server
