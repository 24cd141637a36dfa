#include "client/cli/output.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "common/rpc/proto_json.h"

namespace atelier::cli {
namespace {

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// "IMAGE_FORMAT_JPEG" without the enum's own name in front.
std::string WithoutPrefix(const std::string& name, std::string_view prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

// snprintf of one number.
template <typename Number>
std::string Printed(const char* format, int precision, Number value) {
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), format, precision, value);
  return buffer.data();
}

std::string TwoDigits(std::int64_t number) {
  return (number < 10 ? "0" : "") + std::to_string(number);
}

}  // namespace

ExitCode Fail(Session& session, std::string_view sentence) {
  session.err << "atelier: " << sentence << std::endl;
  return kFailed;
}

ExitCode Fail(Session& session, const absl::Status& status) {
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, {{"error", ErrorJson(status)}});
  }
  const std::string message(status.message());
  return Fail(session, message.empty() ? absl::StatusCodeToString(status.code()) : message);
}

nlohmann::ordered_json ErrorJson(const absl::Status& status) {
  return {{"code", absl::StatusCodeToString(status.code())},
          {"message", std::string(status.message())}};
}

ExitCode Misuse(Session& session, std::string_view sentence) {
  Fail(session, sentence);
  return kMisused;
}

void PrintJson(Session& session, const google::protobuf::Message& message) {
  session.out << ToJson(message) << std::endl;
}

void PrintJson(Session& session, const nlohmann::ordered_json& object) {
  session.out << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << std::endl;
}

void PrintTable(std::ostream& out, const Row& header, const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(header.size());
  const auto measure = [&widths](const Row& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  };
  const auto print = [&](const Row& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  };
  measure(header);
  std::for_each(rows.begin(), rows.end(), measure);
  print(header);
  std::for_each(rows.begin(), rows.end(), print);
}

void PrintEntries(std::ostream& out, const std::vector<Entry>& entries) {
  std::size_t width = 0;
  for (const Entry& entry : entries) {
    width = std::max(width, entry.name.size());
  }
  for (const Entry& entry : entries) {
    if (!entry.value.empty()) {
      out << entry.name << ':' << std::string(width - entry.name.size() + 2, ' ') << entry.value
          << '\n';
    }
  }
}

std::string Join(const std::vector<std::string>& words, std::string_view separator) {
  std::string joined;
  for (const std::string& word : words) {
    joined += (joined.empty() ? "" : std::string(separator)) + word;
  }
  return joined;
}

std::string BytesText(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return Printed("%.*f", unit == 0 ? 0 : 1, value) + " " + kUnits[unit];
}

std::string DurationText(absl::Duration duration) {
  const std::int64_t seconds = absl::ToInt64Seconds(duration + absl::Milliseconds(500));
  if (seconds >= 3600) {
    return std::to_string(seconds / 3600) + " h " + TwoDigits(seconds / 60 % 60) + " min";
  }
  if (seconds >= 60) {
    return std::to_string(seconds / 60) + " min " + TwoDigits(seconds % 60) + " s";
  }
  return std::to_string(seconds) + " s";
}

std::string NumberText(double value, int digits) { return Printed("%.*g", digits, value); }

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                          absl::LocalTimeZone());
}

std::string StateText(v1::JobState state) {
  return WithoutPrefix(v1::JobState_Name(state), "JOB_STATE_");
}

std::string PrecisionText(v1::Precision precision) {
  return LowerCase(WithoutPrefix(v1::Precision_Name(precision), "PRECISION_"));
}

std::string FormatText(v1::ImageFormat format) {
  return LowerCase(WithoutPrefix(v1::ImageFormat_Name(format), "IMAGE_FORMAT_"));
}

std::optional<v1::Precision> PrecisionOf(std::string_view text) {
  const std::string lower = LowerCase(text);
  if (lower == "fp32") {
    return v1::PRECISION_FP32;
  }
  if (lower == "bf16") {
    return v1::PRECISION_BF16;
  }
  if (lower == "int8") {
    return v1::PRECISION_INT8;
  }
  return std::nullopt;
}

std::optional<v1::ImageFormat> FormatOf(std::string_view text) {
  const std::string lower = LowerCase(text);
  if (lower == "jpeg" || lower == "jpg") {
    return v1::IMAGE_FORMAT_JPEG;
  }
  if (lower == "png") {
    return v1::IMAGE_FORMAT_PNG;
  }
  if (lower == "webp") {
    return v1::IMAGE_FORMAT_WEBP;
  }
  return std::nullopt;
}

}  // namespace atelier::cli
