#include "common/errors.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"

namespace atelier {
namespace {

// Payload type URLs. The values are plain text: they never leave the process in this form.
constexpr char kFieldUrl[] = "atelier.dev/field";
constexpr char kRetryDelayUrl[] = "atelier.dev/retry_delay_ns";
constexpr char kResourceTypeUrl[] = "atelier.dev/resource_type";
constexpr char kResourceNameUrl[] = "atelier.dev/resource_name";

void SetPayload(absl::Status& status, const char* url, std::string_view value) {
  status.SetPayload(url, absl::Cord(std::string(value)));
}

std::optional<std::string> GetPayload(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) {
    return std::nullopt;
  }
  return std::string(*payload);
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view sentence) {
  absl::Status status =
      absl::InvalidArgumentError(std::string(field) + ": " + std::string(sentence));
  SetPayload(status, kFieldUrl, field);
  return status;
}

absl::Status AboutField(const absl::Status& status, std::string_view field) {
  const std::optional<std::string> other = FieldOf(status);
  if (!other.has_value()) {
    return status;
  }
  std::string sentence(status.message());
  if (sentence.starts_with(*other + ": ")) {
    sentence.erase(0, other->size() + 2);
  }
  return InvalidField(field, sentence);
}

absl::Status RetryLater(absl::Duration delay, std::string_view sentence) {
  return WithRetryDelay(absl::ResourceExhaustedError(std::string(sentence)), delay);
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  SetPayload(status, kRetryDelayUrl, std::to_string(absl::ToInt64Nanoseconds(delay)));
  return status;
}

absl::Status NotFoundResource(std::string_view type, std::string_view name,
                              std::string_view sentence) {
  absl::Status status = absl::NotFoundError(std::string(sentence));
  SetPayload(status, kResourceTypeUrl, type);
  SetPayload(status, kResourceNameUrl, name);
  return status;
}

absl::Status WithDetail(absl::Status status, std::string_view type, std::string_view bytes) {
  SetPayload(status, std::string(kDetailPrefix).append(type).c_str(), bytes);
  return status;
}

std::optional<std::string> DetailOf(const absl::Status& status, std::string_view type) {
  return GetPayload(status, std::string(kDetailPrefix).append(type).c_str());
}

std::optional<std::string> FieldOf(const absl::Status& status) {
  return GetPayload(status, kFieldUrl);
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  const std::optional<std::string> text = GetPayload(status, kRetryDelayUrl);
  std::int64_t nanoseconds = 0;
  if (!text.has_value() ||
      std::from_chars(text->data(), text->data() + text->size(), nanoseconds).ec != std::errc()) {
    return std::nullopt;
  }
  return absl::Nanoseconds(nanoseconds);
}

std::optional<ResourceName> ResourceOf(const absl::Status& status) {
  std::optional<std::string> type = GetPayload(status, kResourceTypeUrl);
  std::optional<std::string> name = GetPayload(status, kResourceNameUrl);
  if (!type.has_value() || !name.has_value()) {
    return std::nullopt;
  }
  return ResourceName{*std::move(type), *std::move(name)};
}

}  // namespace atelier
