// Reads the protobuf JSON of option messages, field by field: keys in snake_case or camelCase,
// numbers that may come as strings, unknown keys as errors. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace atelier {

// "batch_size" of "batch_size" and of "batchSize", as protobuf's JSON takes both.
std::string SnakeCase(std::string_view key);

// One JSON object. The first error wins; every key must be asked for, so that what is left over is
// unknown. A field that is left out or null leaves `out` alone.
class ObjectReader final {
 public:
  using Json = nlohmann::json;

  // `path` is the object's own field path with a dot behind it.
  ObjectReader(const Json& object, std::string path);

  // An integer from `lowest` to `highest`. With `zero_is_default` 0 leaves `out` alone, as proto3
  // cannot tell 0 from "left out".
  template <typename Integer>
  void Read(const std::string& key, std::uint64_t lowest, std::uint64_t highest,
            bool zero_is_default, Integer& out) {
    const std::optional<std::uint64_t> number = TakeUnsigned(key, lowest, highest, zero_is_default);
    if (number.has_value()) {
      out = static_cast<Integer>(*number);
    }
  }

  // `range` completes "must be a number ...".
  void ReadDouble(const std::string& key, const std::function<bool(double)>& in_range,
                  const char* range, double& out);
  // 0 or above: what weights of losses are.
  void ReadWeight(const std::string& key, double& out);
  void ReadBool(const std::string& key, bool& out);
  // An empty string leaves `out` alone.
  void ReadString(const std::string& key, std::string& out);
  // One of the names, of which `out` becomes the value. An empty string leaves `out` alone.
  template <typename Choice, std::size_t kCount, typename Value>
  void ReadChoice(const std::string& key,
                  const std::pair<std::string_view, Choice> (&choices)[kCount], Value& out) {
    std::string wanted;
    ReadString(key, wanted);
    if (wanted.empty()) {
      return;
    }
    std::string allowed;
    for (const auto& [name, value] : choices) {
      if (name == wanted) {
        out = value;
        return;
      }
      allowed += allowed.empty() ? "\"" : ", \"";
      allowed.append(name) += '"';
    }
    Fail(key, "must be one of " + allowed);
  }
  // A list of at most `most` integers from 0 to `highest`; an empty one leaves `out` alone.
  void ReadIntegers(const std::string& key, std::size_t most, std::uint64_t highest,
                    std::vector<int>& out);
  // A list of at most `most` strings, none empty and none twice; an empty one leaves `out` alone.
  void ReadStrings(const std::string& key, std::size_t most, std::vector<std::string>& out);
  // An inner object; empty when left out.
  Json ReadObject(const std::string& key);
  // Takes a field as it is.
  std::optional<Json> Take(const std::string& key);

  void Fail(const std::string& key, const std::string& sentence);
  // OK when nothing failed and no key is left; the first left one is named as it was written, with
  // the keys that there are.
  absl::Status Finish();

 private:
  std::optional<std::uint64_t> TakeUnsigned(const std::string& key, std::uint64_t lowest,
                                            std::uint64_t highest, bool zero_is_default);

  struct Field {
    std::string written;  // the key as the object has it
    Json value;
  };

  std::string path_;
  std::map<std::string, Field> fields_;  // by their keys in snake_case
  std::set<std::string> known_;          // what was asked for
  absl::Status status_;
};

}  // namespace atelier
