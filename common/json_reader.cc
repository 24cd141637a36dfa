#include "common/json_reader.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Protobuf's JSON may write any number as a string, and always does so for 64 bits.
std::optional<std::uint64_t> AsUnsigned(const Json& value) {
  std::uint64_t number = 0;
  if (value.is_number_unsigned()) {
    return value.get<std::uint64_t>();
  }
  if (value.is_string() && absl::SimpleAtoi(value.get<std::string>(), &number)) {
    return number;
  }
  // 3e3 and 256.0 are integers too; 2^53 is where doubles stop telling neighbours apart.
  if (value.is_number_float()) {
    const double real = value.get<double>();
    if (real >= 0 && real <= 9007199254740992.0 && std::floor(real) == real) {
      return static_cast<std::uint64_t>(real);
    }
  }
  return std::nullopt;
}

std::optional<double> AsDouble(const Json& value) {
  double number = 0;
  if (value.is_number()) {
    return value.get<double>();
  }
  // Takes "NaN" and "Infinity" as well: the range check refuses them with a better sentence.
  if (value.is_string() && absl::SimpleAtod(value.get<std::string>(), &number)) {
    return number;
  }
  return std::nullopt;
}

}  // namespace

std::string SnakeCase(std::string_view key) {
  std::string snake;
  for (const char c : key) {
    if (c >= 'A' && c <= 'Z') {
      snake += '_';
      snake += static_cast<char>(c - 'A' + 'a');
    } else {
      snake += c;
    }
  }
  return snake;
}

ObjectReader::ObjectReader(const Json& object, std::string path) : path_(std::move(path)) {
  for (const auto& [key, value] : object.items()) {
    if (!fields_.emplace(SnakeCase(key), Field{key, value}).second) {
      Fail(SnakeCase(key), "is given twice");
    }
  }
}

std::optional<std::uint64_t> ObjectReader::TakeUnsigned(const std::string& key,
                                                        std::uint64_t lowest, std::uint64_t highest,
                                                        bool zero_is_default) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return std::nullopt;
  }
  const std::optional<std::uint64_t> number = AsUnsigned(*value);
  if (number == 0u && zero_is_default) {
    return std::nullopt;
  }
  if (!number.has_value() || *number < lowest || *number > highest) {
    Fail(key, "must be a whole number from " + std::to_string(lowest) + " to " +
                  std::to_string(highest));
    return std::nullopt;
  }
  return number;
}

void ObjectReader::ReadDouble(const std::string& key, const std::function<bool(double)>& in_range,
                              const char* range, double& out) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return;
  }
  const std::optional<double> number = AsDouble(*value);
  if (!number.has_value() || !std::isfinite(*number) || !in_range(*number)) {
    Fail(key, std::string("must be a number ") + range);
    return;
  }
  out = *number;
}

void ObjectReader::ReadWeight(const std::string& key, double& out) {
  ReadDouble(key, [](double value) { return value >= 0; }, "of 0 or above", out);
}

void ObjectReader::ReadBool(const std::string& key, bool& out) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return;
  }
  if (!value->is_boolean()) {
    Fail(key, "must be true or false");
    return;
  }
  out = value->get<bool>();
}

void ObjectReader::ReadString(const std::string& key, std::string& out) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return;
  }
  if (!value->is_string()) {
    Fail(key, "must be a string");
    return;
  }
  if (!value->get<std::string>().empty()) {
    out = value->get<std::string>();
  }
}

void ObjectReader::ReadIntegers(const std::string& key, std::size_t most, std::uint64_t highest,
                                std::vector<int>& out) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return;
  }
  if (!value->is_array() || value->size() > most) {
    Fail(key, "must be a list of at most " + std::to_string(most) + " whole numbers");
    return;
  }
  std::vector<int> numbers;
  for (const Json& item : *value) {
    const std::optional<std::uint64_t> number = AsUnsigned(item);
    if (!number.has_value() || *number > highest) {
      Fail(key, "must hold whole numbers from 0 to " + std::to_string(highest));
      return;
    }
    numbers.push_back(static_cast<int>(*number));
  }
  if (!numbers.empty()) {
    out = std::move(numbers);
  }
}

void ObjectReader::ReadStrings(const std::string& key, std::size_t most,
                               std::vector<std::string>& out) {
  const std::optional<Json> value = Take(key);
  if (!value.has_value()) {
    return;
  }
  if (!value->is_array() || value->size() > most) {
    Fail(key, "must be a list of at most " + std::to_string(most) + " strings");
    return;
  }
  std::vector<std::string> strings;
  for (const Json& item : *value) {
    const std::string text = item.is_string() ? item.get<std::string>() : "";
    if (text.empty() || std::find(strings.begin(), strings.end(), text) != strings.end()) {
      Fail(key, "must hold strings that are not empty, each once");
      return;
    }
    strings.push_back(text);
  }
  if (!strings.empty()) {
    out = std::move(strings);
  }
}

Json ObjectReader::ReadObject(const std::string& key) {
  const std::optional<Json> value = Take(key);
  if (value.has_value() && !value->is_object()) {
    Fail(key, "must be an object");
    return Json::object();
  }
  return value.value_or(Json::object());
}

std::optional<Json> ObjectReader::Take(const std::string& key) {
  known_.insert(key);
  const auto found = fields_.find(key);
  if (found == fields_.end()) {
    return std::nullopt;
  }
  Json value = std::move(found->second.value);
  fields_.erase(found);
  // In protobuf JSON null means "left out".
  if (value.is_null()) {
    return std::nullopt;
  }
  return value;
}

void ObjectReader::Fail(const std::string& key, const std::string& sentence) {
  if (status_.ok()) {
    status_ = InvalidField(path_ + key, sentence);
  }
}

absl::Status ObjectReader::Finish() {
  if (!fields_.empty()) {
    const std::string key = absl::CHexEscape(fields_.begin()->second.written.substr(0, 64));
    Fail(key, "there is no such field; there are " + absl::StrJoin(known_, ", "));
  }
  return status_;
}

}  // namespace atelier
