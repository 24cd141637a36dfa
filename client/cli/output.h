// How things are told: errors, JSON, tables, and values as people write them.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"
#include "atelier/v1/types.pb.h"
#include "client/cli/session.h"
#include "nlohmann/json.hpp"

namespace atelier::cli {

// "atelier: sentence" on the error stream.
ExitCode Fail(Session& session, std::string_view sentence);
// The same, and with --output json one line on the output stream: {"error":{"code":…,"message":…}}.
ExitCode Fail(Session& session, const absl::Status& status);
// The object behind "error": the status' code by name and its sentence.
nlohmann::ordered_json ErrorJson(const absl::Status& status);
ExitCode Misuse(Session& session, std::string_view sentence);

// One line on the output stream, flushed.
void PrintJson(Session& session, const google::protobuf::Message& message);
// The same of an object that may quote file names: what is not UTF-8 is replaced.
void PrintJson(Session& session, const nlohmann::ordered_json& object);

// Columns as wide as their widest cell; ASCII cells only line up exactly.
using Row = std::vector<std::string>;
void PrintTable(std::ostream& out, const Row& header, const std::vector<Row>& rows);

// "name:  value" lines; entries without a value are left out.
struct Entry {
  std::string name;
  std::string value;
};
void PrintEntries(std::ostream& out, const std::vector<Entry>& entries);

// A protobuf map has no order.
template <typename Map>
std::map<std::string, double> Sorted(const Map& numbers) {
  return {numbers.begin(), numbers.end()};
}

std::string Join(const std::vector<std::string>& words, std::string_view separator);

std::string BytesText(std::uint64_t bytes);            // "1.5 MiB"
std::string DurationText(absl::Duration duration);     // "1 h 02 min", "4 min 05 s", "12 s"
std::string NumberText(double value, int digits = 3);  // significant digits
std::string TimeText(const google::protobuf::Timestamp& time);  // "2026-11-30 14:05:00", local

std::string StateText(v1::JobState state);           // "RUNNING"
std::string PrecisionText(v1::Precision precision);  // "bf16"
std::string FormatText(v1::ImageFormat format);      // "jpeg"
std::optional<v1::Precision> PrecisionOf(std::string_view text);
std::optional<v1::ImageFormat> FormatOf(std::string_view text);  // "jpg" too, in any case

}  // namespace atelier::cli
